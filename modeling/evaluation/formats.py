"""Labeled photos in the formats of public datasets, photo by photo, as their annotation files have them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from wordsight.utils.errors import InvalidInputError
from wordsight.utils.wording import counted

from .annotation_files import SUFFIXES, find_photo, is_file, read_json, read_lines, same_name, some
from .coco import read_coco
from .cvat import read_cvat
from .fiftyone import read_fiftyone
from .label_studio import read_label_studio
from .label_tables import read_csv, read_parquet
from .labeled_photo import LabeledPhoto, Read
from .reviewed import left_out

FLAG = re.compile(r"\s+-?[01]$")


def _read_jsonl(path: Path, split: str | None) -> Read:
    """`{"file_name": ..., "labels": [...]}` a line, as `datasets`' imagefolder has it; paths relative to the file."""
    file = path if path.suffix == ".jsonl" else path / (f"{split}.jsonl" if split else "labels.jsonl")
    photos = []
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        row = read_json(Path(f"{file}, line {number}"), line)
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str) or not _are_names(row.get("labels")):
            raise InvalidInputError(f'{file}, line {number}: expected {{"file_name": "...", "labels": ["...", ...]}}.')
        photos.append(
            LabeledPhoto(row["file_name"], file.parent / row["file_name"], frozenset(map(same_name, row["labels"])))
        )
    # A list of classes beside it says which labels exist, also those that no photo has.
    classes = file.parent / "classes.txt"
    known = [line.split(",")[0].strip() for line in read_lines(classes) if line.strip()] if classes.is_file() else []
    # "labels" is every folder's: the folder tells datasets apart.
    folder = file.resolve().parent.name
    return folder if file.stem == "labels" else f"{folder} {file.stem}", photos, known, []


def _are_names(labels: Any) -> bool:
    return isinstance(labels, list) and all(isinstance(label, str) for label in labels)


def _read_voc(path: Path, split: str, year: str) -> Read:
    """VOCdevkit: `ImageSets/Main/<split>.txt`, an XML a photo.

    A photo in which all objects of a category are difficult does not count for it, as in the development kit
    ("difficult" is 0 in its image sets, and such photos are left out of the category's ranking).
    """
    candidates = (path / f"VOC{year}", path / "VOCdevkit" / f"VOC{year}", path)
    root = next((folder for folder in candidates if (folder / "ImageSets" / "Main").is_dir()), None)
    if root is None:
        raise InvalidInputError(f"{path} holds no VOC{year}/ImageSets/Main. Give the VOCdevkit folder.")
    photos: list[LabeledPhoto] = []
    empty: list[str] = []
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    for line in read_lines(listed):
        if not line.strip():
            continue
        # Lists of one category have 1, 0 or -1 behind the name, which may hold blanks.
        name = FLAG.sub("", line.strip())
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InvalidInputError(f"{listed} names {name!r}, which is outside of {root}. Correct the list.")
        file = root / "Annotations" / f"{name}.xml"
        try:
            tree = ElementTree.parse(file).getroot()
        except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
            raise InvalidInputError(f"The annotation file {file} can't be read: {error}.") from error
        objects = tree.findall("object")
        if not objects:
            empty.append(name)
        present: set[str] = set()
        difficult: set[str] = set()
        areas: dict[str, float] = {}
        for found in objects:
            label = same_name(found.findtext("name") or "")
            (difficult if found.findtext("difficult", "0").strip() == "1" else present).add(label)
            areas[label] = max(areas.get(label, 0.0), _box_area(found))
        folders, written = [root / "JPEGImages"], tree.findtext("filename") or ""
        source = find_photo(name, folders, SUFFIXES)
        if not is_file(source) and written:
            source = find_photo(written, folders)
        is_complete = "" not in present | difficult
        names, unsure = frozenset(present - {""}), frozenset(difficult - present - {""})
        photos.append(LabeledPhoto(name, source, names, unsure, areas, is_complete))
    notes = []
    if empty:
        told = counted(len(empty), "photo")
        notes.append(f"{told} with no object in the XML, counted as showing nothing: {some(empty)}.")
        warnings.warn(notes[-1], stacklevel=4)
    return f"VOC{year} {split}", photos, [], notes


def _box_area(found: ElementTree.Element) -> float:
    corners = [found.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
    if any(corner is None for corner in corners):
        return 0.0
    try:
        left, top, right, bottom = (float(corner or 0) for corner in corners)
    except ValueError:
        return 0.0
    return max(right - left, 0.0) * max(bottom - top, 0.0)


def _read_nuswide(path: Path, split: str | None) -> Read:
    r"""`ImageList/<Split>Imagelist.txt` (paths with \), `Groundtruth/TrainTestLabels/Labels_<concept>_<Split>.txt`.

    Photos without any of the 81 concepts are left out, as in the papers.
    """
    split = (split or "test").capitalize()
    listed = read_lines(_first(path, f"ImageList/{split}Imagelist.txt", f"Imagelist/{split}Imagelist.txt"))
    names = [line.strip().replace("\\", "/") for line in listed if line.strip()]
    concepts = [
        line.strip()
        for line in read_lines(_first(path, "Concepts81.txt", "ConceptsList/Concepts81.txt"))
        if line.strip()
    ]
    matrix = np.zeros((len(names), len(concepts)), dtype=np.int8)
    for k, concept in enumerate(concepts):
        file = _first(
            path,
            f"Groundtruth/TrainTestLabels/Labels_{concept}_{split}.txt",
            f"TrainTestLabels/Labels_{concept}_{split}.txt",
        )
        flags = [line.strip() for line in read_lines(file) if line.strip()]
        if len(flags) != len(names):
            raise InvalidInputError(f"{file} has {len(flags)} lines for the {len(names)} photos of the image list.")
        matrix[:, k] = [{"1": 1, "0": 0}.get(flag, -1) for flag in flags]
    folder = next((path / name for name in ("Flickr", "images", "Images") if (path / name).is_dir()), path / "Flickr")
    flagged = np.array(concepts, dtype=object)
    photos = [
        LabeledPhoto(name, folder / name, frozenset(flagged[flags == 1]), frozenset(flagged[flags == -1]))
        for name, flags in zip(names, matrix, strict=True)
        if flags.any()
    ]
    empty = len(names) - len(photos)
    return f"NUS-WIDE {split.lower()}", photos, concepts, left_out(empty, "no concept, as in the papers")


def _first(root: Path, *places: str) -> Path:
    """The first place that exists, else the first, for its name in the error."""
    return next((root / place for place in places if (root / place).is_file()), root / places[0])


def _read_datasets(path: Path, split: str | None) -> Read:
    """A saved dataset, an image folder with `metadata.jsonl`, or a dataset on the Hub, with `image` and `labels`."""
    from datasets import Dataset, load_dataset, load_from_disk
    from datasets import Image as ImageFeature

    try:
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            loaded: Any = load_from_disk(str(path))
        elif path.is_dir():
            loaded = load_dataset("imagefolder", data_dir=str(path))
        else:
            loaded = load_dataset(str(path))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"datasets can't load {str(path)!r}: {str(error).splitlines()[0]}") from error
    if not isinstance(loaded, Dataset):
        part = split or ("test" if "test" in loaded else next(iter(loaded)))
        if part not in loaded:
            raise InvalidInputError(f"{path} has no split {part!r}; it has {', '.join(loaded)}.")
        loaded = loaded[part]
    if missing := {"image", "labels"} - set(loaded.column_names):
        raise InvalidInputError(f"{path} has no column {' and '.join(sorted(missing))}; needed are image and labels.")
    feature = loaded.features["labels"]
    names = getattr(getattr(feature, "feature", feature), "names", None)  # a ClassLabel, or a list of them
    loaded = loaded.cast_column("image", ImageFeature(decode=False))  # decoded where it is prepared, at reduced scale
    rows = loaded.select_columns(["labels"])["labels"]
    photos, unlabeled = [], 0
    for number, labels in enumerate(rows):
        everything = labels if isinstance(labels, list) else [labels]
        # -1 is what `datasets` has where a label is not known.
        given = [label for label in everything if label is not None and not (names and label == -1)]
        if everything and not given:
            unlabeled += 1
            continue
        shown = [names[label] for label in given if 0 <= label < len(names)] if names else given
        if len(shown) < len(given) or not _are_names(shown):
            raise InvalidInputError(f"{path}, row {number}: labels must be names or class labels, got {labels!r:.80}.")
        present = frozenset(map(same_name, shown))
        source, is_complete = partial(_read_row, loaded, number), len(given) == len(everything)
        photos.append(LabeledPhoto(f"row {number}", source, present, is_complete=is_complete))
    notes = [f"Rows without labels (null or -1), left out: {unlabeled}."] if unlabeled else []
    return f"{path.name} {loaded.split or ''}".strip(), photos, names or [], notes


def _read_row(dataset: Any, number: int) -> bytes | Path:
    image = dataset[number]["image"]
    return Path(image["path"]) if image["bytes"] is None else image["bytes"]


READERS: dict[str, Callable[[Path, str | None], Read]] = {
    "jsonl": _read_jsonl,
    "voc2007": lambda path, split: _read_voc(path, split or "test", "2007"),
    "voc2012": lambda path, split: _read_voc(path, split or "val", "2012"),
    "coco": read_coco,
    "nuswide": _read_nuswide,
    "datasets": _read_datasets,
    "csv": read_csv,
    "parquet": read_parquet,
    "label-studio": read_label_studio,
    "cvat": read_cvat,
    "fiftyone": read_fiftyone,
}
