"""The card of a dataset of sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import DatasetCard, DatasetCardData

from wordsight.description_gen.dataset import dropped_of, with_categories, with_dropped, with_knowledge
from wordsight.description_gen.summary import percent, texts_summary
from wordsight.utils.files import TEXTS_PICTURES
from wordsight.utils.wording import counted

from .card import license_of
from .rendering import cell, render_card

if TYPE_CHECKING:
    from datasets import Dataset

    from wordsight.description_gen import Knowledge

SHOWN = 3  # scenes and co-occurring categories in a row
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_texts_card(dataset: Dataset, knowledge: Knowledge, repo_id: str, pictures: bool = False) -> str:
    """The card, signed (see `edits.py`).

    Args:
        dataset: the sentences, with `labels` (multi-hot, K).
        knowledge: what the language model said of the K categories.
        repo_id: the dataset's id on the Hub.
        pictures: whether those of `TEXTS_PICTURES` are pushed with it.
    """
    summary = texts_summary(with_knowledge(dataset, knowledge))
    described = with_categories(dataset, knowledge.categories)
    if (dropped := dropped_of(dataset)) is not None:
        described = with_dropped(described, dropped)
    data = DatasetCardData(
        language=knowledge.language or None,
        license=license_of(knowledge.model),
        task_categories=["text-classification", "image-classification"],
        task_ids=["multi-label-image-classification", "multi-label-classification"],
        size_categories=next((size for limit, size in SIZES if len(dataset) < limit), "n>1M"),
        pretty_name=f"Sentences about {counted(len(knowledge.categories), 'category', 'categories')}",
        tags=["wordsight", "synthetic"],
        # `load_dataset` gives the description, and with it the categories, to whoever loads the dataset.
        dataset_info={"description": described.info.description},
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
    )
    return render_card(
        DatasetCard,
        data,
        "texts_template.md",
        knowledge=knowledge,
        sentences=len(dataset),
        repo_id=repo_id,
        summary=summary,
        percent=percent,
        pictures=TEXTS_PICTURES if pictures else (),
        categories=[
            {
                "name": cell(category.in_full),
                "synonyms": cell(", ".join(category.synonyms)),
                "sentences": found.sentences,
                "naming_all": percent(found.naming_all),
                "scenes": cell(", ".join(found.scenes[:SHOWN])),
                "seen_with": cell(", ".join([*found.co_occurrence][:SHOWN])),
            }
            for category, found in zip(knowledge.categories, summary.categories, strict=True)
        ],
    )
