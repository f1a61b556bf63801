"""The card of a dataset of sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import DatasetCard, DatasetCardData

from wordsight.description_gen.dataset import dropped_of, with_categories, with_dropped

from .card import license_of
from .rendering import cell, counted, render_card

if TYPE_CHECKING:
    from datasets import Dataset

    from wordsight.description_gen import Knowledge

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_texts_card(dataset: Dataset, knowledge: Knowledge, repo_id: str) -> str:
    """The card, signed (see `edits.py`).

    Args:
        dataset: the sentences, with `labels` (multi-hot, K).
        knowledge: what the language model said of the K categories.
        repo_id: the dataset's id on the Hub.
    """
    counts = [sum(column) for column in zip(*dataset["labels"], strict=True)]
    described = with_categories(dataset, knowledge.categories)
    if (dropped := dropped_of(dataset)) is not None:
        described = with_dropped(described, dropped)
    data = DatasetCardData(
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
        categories=[
            {"name": cell(category.in_full), "synonyms": cell(", ".join(category.synonyms)), "sentences": count}
            for category, count in zip(knowledge.categories, counts, strict=True)
        ],
    )
