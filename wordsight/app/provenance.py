"""The tab that shows where a model comes from: categories, groups, what the language model said, training curve."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gradio as gr
from PIL import Image

from wordsight.description_gen import Knowledge
from wordsight.hub.side_files import fetch_side_files
from wordsight.plotting import plot_training_curves
from wordsight.utils.files import KNOWLEDGE, TRAINING_LOG, read_json

from .labeling_tab import plain, told
from .models import Models

if TYPE_CHECKING:
    from wordsight.modeling.configuration_wordsight import WordsightConfig
    from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification

Update = dict[Any, Any]
CO_OCCURRING = 6  # categories, the most frequent ones


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from, as far as its files say."""

    config: WordsightConfig
    knowledge: Knowledge | None
    log: dict[str, Any]


def provenance_of(model: WordsightForMultiLabelImageClassification) -> Provenance:
    """Reads a model's side files, from its folder or its repository."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fetch_side_files(model, folder)
        known = folder / KNOWLEDGE
        return Provenance(
            model.config, Knowledge.load(known) if known.is_file() else None, read_json(folder / TRAINING_LOG)
        )


class ProvenanceTab:
    """The tab's components and what they do; built inside `gr.Blocks`.

    Args:
        models: the app's models.
        model: the component that holds the chosen one.
    """

    def __init__(self, models: Models, model: gr.Dropdown) -> None:
        self.models, self.model = models, model
        self._read: dict[str, Provenance] = {}
        self.summary = gr.Markdown(elem_id="summary")
        with gr.Row():
            with gr.Column(min_width=300):
                self.category = gr.Dropdown(label="Category", interactive=True, elem_id="category")
                self.about = gr.Markdown(elem_id="about")
            with gr.Column(min_width=300):
                self.groups = gr.HTML(elem_id="groups")
        self.curve = gr.Image(
            label="Training curve",
            show_label=False,
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            alt_text="Training curve: loss and mAP on held-out sentences by epoch",
            elem_id="curve",
        )
        self.category.input(
            self.tell_of, [self.model, self.category], self.about, api_visibility="private", show_progress="hidden"
        )

    @property
    def outputs(self) -> list[Any]:
        """What `show` fills."""
        return [self.summary, self.category, self.about, self.groups, self.curve]

    def provenance(self, model: str) -> Provenance:
        """Where one of the app's models comes from; read once."""
        if model not in self._read:
            self._read[model] = provenance_of(cast(Any, self.models.get(model).model))
        return self._read[model]

    @told()
    def show(self, model: str) -> Update:
        """Shows a model's provenance."""
        provenance = self.provenance(model)
        names = provenance.config.category_names
        history = provenance.log.get("history")
        return {
            self.summary: summary(model, provenance),
            self.category: gr.Dropdown(choices=names, value=names[0]),
            self.about: about(names[0], provenance),
            self.groups: group_tree(provenance.config),
            self.curve: gr.Image(training_curve(provenance.log) if history else None, visible=bool(history)),
        }

    @told()
    def tell_of(self, model: str, category: str) -> str:
        """What is known of a category."""
        return about(category, self.provenance(model))


def training_curve(log: dict[str, Any]) -> Image.Image:
    """The curve of a training log, drawn."""
    drawn = BytesIO()
    plot_training_curves(log).savefig(drawn, format="png", dpi=100)
    return Image.open(drawn)


def summary(model: str, provenance: Provenance) -> str:
    """A model in two lines of Markdown."""
    config, said = provenance.config, provenance.config.provenance or {}
    counted = "1 category" if len(config.category_names) == 1 else f"{len(config.category_names)} categories"
    parts = [f"**{counted}**", f"encoder `{config.encoder}`"]
    if count := said.get("training_sentences"):
        parts.append(f"{count} training sentences by `{said.get('language_model')}`")
    if config.calibration_photos:
        parts.append(f"calibrated on {config.calibration_photos} unlabeled photos")
    return f"`{model}`: {', '.join(parts)}. It was trained without photos."


def about(category: str, provenance: Provenance) -> str:
    """What the language model said of a category, and some of the sentences that mention it, as Markdown."""
    lines = []
    if description := (provenance.config.descriptions or {}).get(category):
        lines.append(f"**Meaning:** {plain(description)}")
    if synonyms := (provenance.config.synonyms or {}).get(category):
        lines.append(f"**Synonyms:** {_listed(synonyms)}")
    if knowledge := provenance.knowledge:
        counts = knowledge.co_occurrence.get(category, {})
        together = sorted(counts, key=lambda name: -counts[name])[:CO_OCCURRING]
        for title, words in (
            ("Attributes", knowledge.attributes.get(category, [])),
            ("Scenes", knowledge.scenes.get(category, [])),
            ("What else is there", knowledge.companions.get(category, [])),
            ("Seen together with", together),
        ):
            if words:
                lines.append(f"**{title}:** {_listed(words)}")
    if sentences := provenance.log.get("example_sentences", {}).get(category):
        lines.append("**Some of the training sentences**")
        lines.append("\n".join(f"- {plain(sentence)}" for sentence in sentences))
    return "\n\n".join(lines) or "The model's files say nothing about this category."


def group_tree(config: WordsightConfig) -> str:
    """Which categories share prompt tokens, as a tree whose branches open and close."""
    kinds = (("Similar attributes", config.attribute_groups), ("Seen together", config.cooccurrence_groups))
    return "".join(
        f"<details open class='kind'><summary>{title}</summary>{''.join(map(_branch, groups))}</details>"
        for title, groups in kinds
        if groups
    )


def _branch(group: Sequence[str]) -> str:
    leaves = "".join(f"<li>{escape(name)}</li>" for name in group)
    counted = "1 category" if len(group) == 1 else f"{len(group)} categories"
    return f"<details open><summary>{counted}</summary><ul>{leaves}</ul></details>"


def _listed(words: Sequence[str]) -> str:
    return plain(", ".join(words))
