"""The model card that goes with a checkpoint."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData

if TYPE_CHECKING:
    from wordsight.modeling.configuration_wordsight import WordsightConfig


def write_model_card(config: WordsightConfig, training_log: dict[str, Any], out: Path) -> Path:
    """Writes `README.md` beside a model.

    Args:
        config: the model's configuration.
        training_log: settings and history of the training run.
        out: the model's folder.
    """
    on_hub = config.encoder != "offline" and not Path(config.encoder).is_absolute()
    data = ModelCardData(
        library_name="wordsight",
        pipeline_tag="image-classification",
        tags=["multi-label", "prompt-learning", "zero-shot"],
        base_model=config.encoder if on_hub else None,
    )
    attribute, cooccurrence = config.group_index("attribute_groups"), config.group_index("cooccurrence_groups")
    categories = [
        {
            "name": name,
            "synonyms": ", ".join((config.synonyms or {}).get(name, [])),
            "attribute_group": attribute[index] + 1,
            "cooccurrence_group": cooccurrence[index] + 1,
        }
        for index, name in enumerate(config.category_names)
    ]
    card = ModelCard.from_template(
        data,
        template_str=(files(__package__) / "template.md").read_text(encoding="utf-8"),
        config=config,
        categories=categories,
        provenance=config.provenance or {},
        training=training_log["training"],
        final=training_log["history"][-1],
    )
    path = out / "README.md"
    card.save(path)
    return path
