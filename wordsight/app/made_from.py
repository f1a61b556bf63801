"""The tab that shows what a model was made from: categories, groups, what the language model said, training curve."""

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

from .labelers import Labelers
from .labeling import plain, told

if TYPE_CHECKING:
    from wordsight.modeling.configuration_wordsight import WordsightConfig
    from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification

Update = dict[Any, Any]
COMPANY = 6  # categories that one is seen with, the most frequent


@dataclass(frozen=True)
class Origin:
    """What a model was made from, as far as its files tell."""

    config: WordsightConfig
    knowledge: Knowledge | None
    log: dict[str, Any]


def origin_of(model: WordsightForMultiLabelImageClassification) -> Origin:
    """Reads a model's side files, from its folder or its repository."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fetch_side_files(model, folder)
        known = folder / KNOWLEDGE
        return Origin(
            model.config, Knowledge.load(known) if known.is_file() else None, read_json(folder / TRAINING_LOG)
        )


class MadeFromTab:
    """The tab's components and what they do; built inside `gr.Blocks`.

    Args:
        labelers: the app's models.
        model: the component that holds the chosen one.
    """

    def __init__(self, labelers: Labelers, model: gr.Dropdown) -> None:
        self.labelers, self.model = labelers, model
        self._origins: dict[str, Origin] = {}
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

    def origin(self, model: str) -> Origin:
        """What one of the app's models was made from; read once."""
        if model not in self._origins:
            self._origins[model] = origin_of(cast(Any, self.labelers.get(model).model))
        return self._origins[model]

    @told()
    def show(self, model: str) -> Update:
        """Tells of a model."""
        origin = self.origin(model)
        names = origin.config.category_names
        history = origin.log.get("history")
        return {
            self.summary: summary(model, origin),
            self.category: gr.Dropdown(choices=names, value=names[0]),
            self.about: about(names[0], origin),
            self.groups: group_tree(origin.config),
            self.curve: gr.Image(training_curve(origin.log) if history else None, visible=bool(history)),
        }

    @told()
    def tell_of(self, model: str, category: str) -> str:
        """What is known of a category."""
        return about(category, self.origin(model))


def training_curve(log: dict[str, Any]) -> Image.Image:
    """The curve of a training log, drawn."""
    drawn = BytesIO()
    plot_training_curves(log).savefig(drawn, format="png", dpi=100)
    return Image.open(drawn)


def summary(model: str, origin: Origin) -> str:
    """A model in two lines of Markdown."""
    config, said = origin.config, origin.config.provenance or {}
    parts = [f"**{len(config.category_names)} categories**", f"encoder `{config.encoder}`"]
    if count := said.get("training_sentences"):
        parts.append(f"{count} sentences by `{said.get('language_model')}`")
    if config.calibration_photos:
        parts.append(f"score statistics of {config.calibration_photos} photos")
    return f"`{model}`: {', '.join(parts)}. No photo was needed for training."


def about(category: str, origin: Origin) -> str:
    """What the language model said of a category, and some of the sentences that mention it, as Markdown."""
    lines = []
    if synonyms := (origin.config.synonyms or {}).get(category):
        lines.append(f"**Also called** {_listed(synonyms)}")
    if knowledge := origin.knowledge:
        company = knowledge.co_occurrence.get(category, {})
        together = sorted(company, key=lambda name: -company[name])[:COMPANY]
        for title, words in (
            ("Looks like", knowledge.attributes.get(category, [])),
            ("Is seen in", knowledge.scenes.get(category, [])),
            ("Is seen with", together),
        ):
            if words:
                lines.append(f"**{title}** {_listed(words)}")
    if sentences := origin.log.get("example_sentences", {}).get(category):
        lines.append("**Some of its sentences**")
        lines.append("\n".join(f"- {plain(sentence)}" for sentence in sentences))
    return "\n\n".join(lines) or "The model's files tell nothing of it."


def group_tree(config: WordsightConfig) -> str:
    """Which categories share prompt tokens, as a tree whose branches open and close."""
    kinds = (("Look alike", config.attribute_groups), ("Are seen together", config.cooccurrence_groups))
    return "".join(
        f"<details open class='kind'><summary>{title}</summary>{''.join(map(_branch, groups))}</details>"
        for title, groups in kinds
        if groups
    )


def _branch(group: Sequence[str]) -> str:
    leaves = "".join(f"<li>{escape(name)}</li>" for name in group)
    return f"<details open><summary>{len(group)} categories</summary><ul>{leaves}</ul></details>"


def _listed(words: Sequence[str]) -> str:
    return plain(", ".join(words))
