"""Where labeled texts can be: in memory, in a folder, in a file, or on the Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import InvalidInputError, check_not_empty
from wordsight.utils.files import KNOWLEDGE

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


def open_source(source: Dataset | DatasetDict | Path | str, split: str) -> tuple[str, Dataset, Path | None]:
    """Opens texts: how messages call them, the dataset, and the `knowledge.json` that is beside them, if one is.

    Args:
        source: a dataset, several splits, a folder, a file, or an id on the Hub.
        split: the split to take of several.

    Raises:
        InvalidInputError: nothing is there, it can't be read, or it has no such split.
    """
    from datasets import Dataset, DatasetDict

    if isinstance(source, Dataset):
        return "The dataset", source, None
    if isinstance(source, DatasetDict):
        return f"The split {split!r}", _one_split(source, split, "The DatasetDict"), None
    if not isinstance(source, str | Path):
        raise InvalidInputError(
            f"Texts can't be a {type(source).__name__}. Pass a Dataset, a DatasetDict, a folder, a file or a dataset's "
            "id on the Hub."
        )
    check_not_empty(source, "The name of the texts")
    path = Path(source)
    if path.is_dir():
        knowledge = path / KNOWLEDGE
        return str(path), _one_split(_read_folder(path), split, str(path)), knowledge if knowledge.is_file() else None
    if path.is_file():
        return str(path), _read_file(path), None
    return str(source), *_read_hub(str(source), split)


def _one_split(content: Any, split: str, place: str) -> Dataset:
    from datasets import Dataset

    if isinstance(content, Dataset):
        return content
    if split not in content:
        raise InvalidInputError(f"{place} has no split {split!r}, only {', '.join(content)}. Pass one of them.")
    dataset: Dataset = content[split]
    return dataset


def _read_folder(folder: Path) -> Any:
    from datasets import load_dataset, load_from_disk
    from datasets.exceptions import DatasetNotFoundError

    saved = any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))
    try:
        return load_from_disk(str(folder)) if saved else load_dataset(str(folder))
    except (OSError, ValueError, DatasetNotFoundError) as error:
        raise InvalidInputError(
            f"{folder} can't be read as a dataset ({_reason(error)}). Allowed is a folder of `wordsight describe`, of "
            "`save_to_disk`, or of parquet, csv or jsonl files."
        ) from error


def _read_file(path: Path) -> Dataset:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    if path.suffix not in FORMATS:
        raise InvalidInputError(f"{path} is not one of {', '.join(FORMATS)}.")
    try:
        dataset: Dataset = load_dataset(FORMATS[path.suffix], data_files=str(path), split="train")
    except (OSError, ValueError, DatasetGenerationError) as error:
        raise InvalidInputError(f"{path} can't be read as {path.suffix} ({_reason(error)}).") from error
    return dataset


def _read_hub(source: str, split: str) -> tuple[Dataset, Path | None]:
    from datasets import load_dataset

    if not HUB_ID.fullmatch(source):
        raise InvalidInputError(f"{source} is not there. Pass a folder, a file, or a dataset's id on the Hub.")
    try:
        content = load_dataset(source)
    except (OSError, ValueError) as error:  # not found, gated, no network, no data files in it
        raise InvalidInputError(
            f"{source} is neither a file or folder here nor a dataset that can be read from the Hub "
            f"({_reason(error)}). Check the name, and log in with `hf auth login` if it is private."
        ) from error
    return _one_split(content, split, source), _hub_knowledge(source)


def _hub_knowledge(repo_id: str) -> Path | None:
    """The file that `wordsight push-texts` puts beside the sentences."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo_id, KNOWLEDGE, repo_type="dataset"))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    lines = str(cause).splitlines()
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__
