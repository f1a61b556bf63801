"""The model card that goes with a checkpoint: what is in the folder, told to others."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from wordsight.description_gen import Knowledge
from wordsight.description_gen.llm.catalog import catalog_model
from wordsight.utils.errors import InvalidInputError, shortened
from wordsight.utils.files import (
    CARD,
    CATEGORIES_PICTURE,
    CURVE_PICTURE,
    KNOWLEDGE,
    TRAINING_LOG,
    read_evaluations,
    read_json,
)

from .edits import Card, keep_edits
from .rendering import cell, render_card

if TYPE_CHECKING:
    from wordsight.modeling.configuration_wordsight import WordsightConfig

TAGS = ("wordsight", "multi-label", "multi-label-image-classification", "prompt-learning", "zero-shot")
METRICS = {"mAP": ("map", None), "CF1@3": ("top", "cf1"), "OF1@3": ("top", "of1")}
# wordsight's own parts are all Apache-2.0; of other encoders and language models only the user can know.
OWN_LICENSE = "apache-2.0"


def write_model_card(folder: Path) -> Path:
    """Writes `README.md` beside a model, from the files there; keeps what a person changed in it.

    Args:
        folder: a model's folder.

    Raises:
        InvalidInputError: the metadata of the card that is there is not valid YAML.
    """
    path = folder / CARD
    fresh = render_model_card(folder)
    path.write_text(renewed(path, fresh), encoding="utf-8")
    return path


def renewed(path: Path, fresh: str) -> str:
    """A fresh card with what a person changed in the one at a path, if there is one.

    Raises:
        InvalidInputError: the metadata of the card that is there is not valid YAML.
    """
    existing = read_card(path)
    if existing is None:
        return fresh
    if Card(existing).is_own_words:
        warnings.warn(
            f"{path} has none of wordsight's text and stays as it is; delete it to get a generated card.", stacklevel=3
        )
    return keep_edits(existing, fresh)


def read_card(path: Path) -> str | None:
    """The card at a path, if there is one.

    Raises:
        InvalidInputError: it is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from error


def render_model_card(
    folder: Path,
    repo_id: str | None = None,
    datasets: Sequence[str] = (),
) -> str:
    """The card of a model, signed (see `edits.py`).

    Args:
        folder: the model's folder, with its config and, as far as they are there, training log, knowledge, evaluations
            and pictures.
        repo_id: the model's id on the Hub.
        datasets: Hub ids of the sentences, beside the one under which they were pushed before training.
    """
    from wordsight.modeling.configuration_wordsight import WordsightConfig

    config = WordsightConfig.from_pretrained(folder)
    log, evaluations = read_json(folder / TRAINING_LOG), read_evaluations(folder)
    knowledge = Knowledge.load(folder / KNOWLEDGE) if (folder / KNOWLEDGE).is_file() else None
    provenance = config.provenance or {}
    datasets = list(dict.fromkeys([*datasets, *([provenance["dataset"]] if provenance.get("dataset") else [])]))
    name = repo_id.split("/")[-1] if repo_id else folder.resolve().name
    return render_card(
        ModelCard,
        _metadata(config, name, datasets, evaluations),
        "template.md",
        title=f"Multi-label image classification: {cell(shortened(config.category_names))}",
        config=config,
        categories=_category_rows(config),
        encoder_link=_link(config.encoder) if _is_on_hub(config) else f"`{config.encoder}`",
        imagenet=config.imagenet_variant,
        kilobytes=round((folder / "model.safetensors").stat().st_size / 1000),
        repo_id=repo_id or folder.name,
        calibration_photos=config.calibration_photos,
        score_standardization=config.score_standardization,
        knowledge=knowledge,
        example=cell(knowledge.categories[0].name) if knowledge else None,
        rounds=_rounds(knowledge) if knowledge else [],
        provenance=provenance,
        datasets=datasets,
        training=log.get("training"),
        learned="a linear classifier was trained" if config.head == "comc" else "prompts were learned",
        final=(log.get("history") or [None])[-1],
        evaluations=evaluations,
        compared=any(evaluation.get("comparison") for evaluation in evaluations),
        curve=CURVE_PICTURE if (folder / CURVE_PICTURE).is_file() else None,
        chart=CATEGORIES_PICTURE if (folder / CATEGORIES_PICTURE).is_file() else None,
    )


def _metadata(
    config: WordsightConfig, name: str, datasets: Sequence[str], evaluations: Sequence[dict[str, Any]]
) -> ModelCardData:
    """What stands at the top of the card, for the Hub."""
    llm = license_of((config.provenance or {}).get("language_model"))
    on_hub = _is_on_hub(config)
    return ModelCardData(
        license=OWN_LICENSE if config.imagenet_variant and llm == OWN_LICENSE else None,
        # By this and the tag, transformers' `pipeline(model=...)` and the Hub's "Use this model" know how to load it.
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=list(TAGS),
        base_model=config.encoder if on_hub else None,
        base_model_relation="adapter" if on_hub else None,
        datasets=[*datasets] or None,
        metrics=["map", "f1"],
        model_name=name if evaluations else None,
        eval_results=[result for evaluation in evaluations for result in _eval_results(evaluation)] or None,
    )


def license_of(llm: str | None) -> str | None:
    """The license of a language model that wordsight knows; None of others.

    Args:
        llm: the model's name in the data.
    """
    model = catalog_model(llm) if llm else None
    return model.license if model else None


def _is_on_hub(config: WordsightConfig) -> bool:
    return config.imagenet_variant is None and not Path(config.encoder).is_absolute()


def _link(encoder: str) -> str:
    return f"[`{encoder}`](https://huggingface.co/{encoder})"


def _eval_results(evaluation: dict[str, Any]) -> list[EvalResult]:
    """The figures in percent, as the Hub shows them, and by how much mAP is above the strongest zero-shot row's."""
    slug = "".join(c if c.isalnum() else "-" for c in evaluation["benchmark"].lower()).strip("-")
    figures = [
        (metric, "f1" if part else "map", evaluation[field][part] if part else evaluation[field])
        for metric, (field, part) in METRICS.items()
    ]
    if comparison := evaluation.get("comparison"):
        figures.append(("mAP over the strongest zero-shot row", "map_difference", comparison["difference"]))
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Multi-label image classification",
            dataset_type=slug,
            dataset_name=evaluation["benchmark"],
            metric_type=kind,
            metric_name=metric,
            metric_value=round(100 * value, 2),
        )
        for metric, kind, value in figures
    ]


def _category_rows(config: WordsightConfig) -> list[dict[str, Any]]:
    groups = {
        field: {name: group for group in getattr(config, field) for name in group}
        for field in ("attribute_groups", "cooccurrence_groups")
    }
    return [
        {
            "name": cell(category.in_full),
            "synonyms": cell(", ".join(category.synonyms)),
            "attribute_group": _others(category.name, groups["attribute_groups"]),
            "cooccurrence_group": _others(category.name, groups["cooccurrence_groups"]),
            "threshold": threshold,
        }
        for category, threshold in zip(config.categories, config.score_threshold or [], strict=True)
    ]


def _others(name: str, groups: dict[str, list[str]]) -> str:
    return cell(shortened([other for other in groups[name] if other != name]))


def _rounds(knowledge: Knowledge) -> list[dict[str, Any]]:
    """The questions of each round, with numbers of answers and those about the first category."""
    from wordsight.description_gen.questions import load_questions

    questions = load_questions(knowledge.language or "en")
    name, together = knowledge.categories[0].name, knowledge.co_occurrence
    seen_with = sorted(together.get(name, {}), key=lambda other: -together[name][other])
    wordings = " / ".join(wording.single[0]["content"] for wording in questions.descriptions.wordings)
    scored = knowledge.found_by == "likelihood"
    scenes = _scored(questions.place_likelihood) if scored and questions.places else questions.scenes.system
    company = _scored(questions.likelihood) if scored else questions.co_occurrence.system
    rounds: list[tuple[str, str, Mapping[str, Any], list[str]]] = [
        ("attributes", questions.attributes.system, knowledge.attributes, knowledge.attributes.get(name, [])),
        ("scenes", scenes, knowledge.scenes, knowledge.scenes.get(name, [])),
        ("companions", questions.companions.system, knowledge.companions, knowledge.companions.get(name, [])),
        ("co-occurrence", company, together, seen_with),
    ]
    rows = [
        {
            "name": kind,
            "question": cell(question),
            "answers": sum(len(items) for items in answers.values()),
            "example": cell(shortened(example, 3)),
        }
        for kind, question, answers, example in rounds
    ]
    return [*rows, {"name": "sentences", "question": wordings, "answers": "", "example": ""}]


def _scored(template: str) -> str:
    """Which text's probability stands for an answer."""
    return f'(not asked: how likely is "{template}")'
