"""`wordsight predict --format`: labels of a collection, in the format of another tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState

from wordsight.modeling.loading import load_config
from wordsight.utils.errors import InvalidInputError, writing

from ..batch_inference import predict_shards
from ..image_sources import ImageFiles, open_images
from ..shard_files import RECORD, ShardedPredictions, default_shards
from .coco import write_coco
from .cvat import write_cvat
from .fiftyone import write_fiftyone
from .image_folder import write_image_folder
from .label_studio import write_label_studio
from .options import OUTPUT_FORMATS, OutputFormat, XMPTarget
from .predictions import Predictions
from .tables import check_csv_names, write_csv, write_jsonl
from .xml_text import check_xml_names
from .xmp import write_xmp

Writer = Callable[[Predictions, Path], str]
READ_PARQUET = 'To read the labels:\ndatasets.load_dataset("parquet", data_files="{folder}/*.parquet")'
PREDICTIONS = "predictions"  # folder inside the one that is asked for
# Formats that say nothing but a photo's name; the others refer to its file.
NAMES_ALONE = ("csv", "jsonl", "parquet")
WRITERS: dict[str, Writer] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "coco": write_coco,
    "cvat": write_cvat,
    "fiftyone": write_fiftyone,
    "datasets": write_image_folder,
}
# Formats that can't have every category's name; asked before photos are labeled, which may take days.
NAME_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "csv": check_csv_names,
    "cvat": check_xml_names,
    "label-studio": check_xml_names,
    "xmp": check_xml_names,
}


def predict_to_format(
    model: str,
    source: str | Path,
    out: str | Path,
    output_format: OutputFormat,
    *,
    shards: int | None = None,
    split: str | None = None,
    kind: str | None = None,
    base_url: str | None = None,
    xmp: XMPTarget = "sidecars",
    revision: str | None = None,
    predict: Callable[..., ShardedPredictions] = predict_shards,
    **options: Any,
) -> tuple[ShardedPredictions, str]:
    """Labels photos as `predict_shards` does, resumable, and writes what another tool reads.

    The shards are kept in `out/predictions`: with the same `out`, a second format costs no second labeling.

    Args:
        model: folder or Hub id.
        source: as `predict_shards` takes it; formats that refer to photos' files need a folder or a glob of photos.
        out: folder for the files.
        output_format: which of `OUTPUT_FORMATS`.
        shards: how many parts to cut the source into; by default one for 1,000 photos, or for each file of many photos.
        split: of a dataset on the Hub.
        kind: where the source holds several kinds, the one to take: "photos", "tar" or "parquet".
        base_url: for Label Studio, where it finds photos; by default its local files.
        xmp: for "xmp", where keywords are written.
        revision: the model's revision on the Hub.
        predict: what labels the photos: `predict_shards`, or `wordsight.scale.predict_on_ray`.
        options: others of `predict_shards`.

    Returns:
        What was labeled, and a sentence on what was written.

    Raises:
        InvalidInputError: as `predict_shards`, the format is not known, or it needs photos that are files.

    Example:
        >>> from wordsight import predict_to_format
        >>> predictions, told = predict_to_format("my-model", "photos", "for-cvat", "cvat")
        >>> print(told.partition(",")[0])
        Tags ("CVAT for images 1.1"): for-cvat/annotations.xml
    """
    out = Path(out)
    if output_format not in OUTPUT_FORMATS:
        raise InvalidInputError(f"The format {output_format!r} is not known. Pass one of {', '.join(OUTPUT_FORMATS)}.")
    images = open_images(str(source), 1, split, kind, out)
    root = images.root if isinstance(images, ImageFiles) else None
    if root is None and output_format not in NAMES_ALONE:
        raise InvalidInputError(
            f"--format {output_format} refers to photos by their files, and {source} holds photos in other files. "
            f"Unpack them, or pass one of {', '.join(NAMES_ALONE)}."
        )
    if (
        root is not None
        and out.resolve() == root.resolve()
        and (output_format == "datasets" or (output_format, xmp) == ("xmp", "copies"))
    ):
        raise InvalidInputError(f"{out} holds the photos, and would hold their copies, too. Pass another --out.")
    categories = load_config(model, revision).category_names
    if check := NAME_CHECKS.get(output_format):
        check(categories)
    shards = shards or default_shards(images)
    folder = out if output_format == "parquet" else out / PREDICTIONS
    options |= {"split": split, "kind": kind, "revision": revision, "leave_out": out}
    done = predict(model, source, folder, shards, **options)
    if output_format == "parquet":
        return done, READ_PARQUET.format(folder=folder)
    if not PartialState().is_main_process:
        return done, ""
    predictions = Predictions(folder, root, categories, _version(model, folder))
    with writing(out, "run the same command again"):
        return done, _writer(output_format, base_url, xmp)(predictions, out)


def _writer(output_format: str, base_url: str | None, xmp: XMPTarget) -> Writer:
    if output_format == "label-studio":
        return partial(write_label_studio, base_url=base_url)
    return partial(write_xmp, target=xmp) if output_format == "xmp" else WRITERS[output_format]


def _version(model: str, folder: Path) -> str:
    """The model's name, and its commit or fingerprint."""
    state = json.loads((folder / RECORD).read_text(encoding="utf-8"))["model_state"]
    return f"{Path(model).name} {str(state)[:8]}"
