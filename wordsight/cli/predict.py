"""`wordsight predict`: labels for photos, or for a large dataset of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from wordsight.modeling.tiling import check_tiling
from wordsight.pipelines.formats.options import OUTPUT_FORMATS, XMP_TARGETS
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import load_libraries, progress_bar

from .console import plain_console
from .options import TILES_HELP, WORKERS_HELP, check_out_folder


def predict(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    images: Annotated[
        list[str],
        typer.Argument(help="Photos: paths or URLs. With --shards one dataset, see below.", metavar="IMAGE..."),
    ],
    top_k: Annotated[int | None, typer.Option(help="Most labels of a photo.", min=1)] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Labels with at least this score; 0.5 is each category's own threshold.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Folder for pictures of where each label is in its photo.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The model's revision on the Hub.")] = None,
    tiles: Annotated[str | None, typer.Option(help=TILES_HELP)] = None,
    shards: Annotated[int | None, typer.Option(help="Label a dataset in this many parts, into --out.", min=1)] = None,
    backend: Annotated[
        str, typer.Option(help="torch; or onnx or onnx-int8, for what `wordsight export` wrote.")
    ] = "torch",
    dtype: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or float16; bfloat16 is faster on a GPU.")
    ] = "auto",
    out: Annotated[
        str | None,
        typer.Option(help="With --shards, --format or --ray: folder for the files; with --ray also s3://..."),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help=f"Files for other tools, into --out: {', '.join(OUTPUT_FORMATS)}.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="With --format label-studio: address of the photos; by default local files.")
    ] = None,
    xmp: Annotated[
        str, typer.Option(help=f"With --format xmp, where keywords are written: {', '.join(XMP_TARGETS)}.")
    ] = XMP_TARGETS[0],
    split: Annotated[str | None, typer.Option(help="With --shards: split of a Hub dataset, by default train.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="With --shards, where a folder has several kinds: photos, tar or parquet.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="With --shards: photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=f"With --shards. {WORKERS_HELP}", min=0)] = None,
    ray: Annotated[
        str | None, typer.Option(help="Label a dataset on a cluster of Ray, into --out: auto, HOST:PORT, or local.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="With --ray: most copies of the model; by default all that fit.", min=1)
    ] = None,
) -> None:
    """Label photos.

    Without --top-k and --threshold, the five best labels of each photo are shown. A photo that can't be read is
    reported and skipped; the exit status is then 1.

    Example: wordsight predict my-model beach.jpg street.jpg --threshold 0.5

    With --heatmaps, one picture is drawn for each label of each photo, at most 1600 pixels wide, and contact sheets of
    them all. Brightness shows where a label is, its score how likely. Files of earlier runs are kept.

    Example: wordsight predict my-model beach.jpg street.jpg --top-k 3 --heatmaps heatmaps

    With --shards, a large dataset is labeled into parquet files. It is a folder with photos (at any depth), webdataset
    .tar files or parquet files, a glob of such files in quotes, or a dataset on the Hub. Each photo is a row: labels
    with a score of at least 0.5 (--threshold), or why it can't be read. To continue an interrupted run, repeat the
    command: complete shards are kept. .tar and parquet files are not split, so there are at most as many shards as
    files.

    Example: wordsight predict my-model holiday-photos/ --shards 16 --out labels

    Example: wordsight predict my-model 'crawl/*.tar' --shards 64 --out labels --top-k 5 --num-workers 4

    With --format, labels are written as other tools read them: pre-annotations for Label Studio, CVAT and FiftyOne,
    COCO, an image folder of datasets, tables, or keywords (XMP) in sidecar files. The source and how to continue are
    those of --shards, whose files are kept in OUT/predictions. See docs/how-to/annotation-tools.md.

    Example: wordsight predict my-model holiday-photos/ --format label-studio --out for-label-studio

    With --ray, a cluster of Ray does the work: photos are decoded on all CPUs and labeled on all GPUs. Files, and how
    to continue, are those of --shards. See docs/how-to/ray.md.

    Example: wordsight predict user/my-model 'crawl/*.tar' --ray auto --out s3://bucket/labels

    On several GPUs, process p of P takes shards p, p + P, ...: accelerate launch -m wordsight predict my-model
    user/photos --split train --shards 64 --out labels

    On several CPU processes: torchrun --nproc_per_node 4 -m wordsight predict my-model photos/ --shards 64
    --out labels

    On a cluster of 8 machines, on each: torchrun --nnodes 8 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint
    FIRST_HOST:29500 -m wordsight predict my-model 'crawl/*.tar' --shards 512 --out /shared/labels
    """
    tiling = None if tiles is None else check_tiling(tiles)
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInputError(f"--threshold must be between 0 and 1, got {threshold}.")
    _check_format(output_format, base_url, xmp)
    if (given := _for_datasets(shards, output_format, ray)) is not None:
        if out is None or as_json:
            raise InvalidInputError(f"{given} writes files: pass --out DIR, and omit --json.")
        _check_dataset_options(given, images, out, output_format, heatmaps)
        _label_dataset(
            model,
            images[0],
            out,
            output_format,
            _predict_function(ray, concurrency, num_workers),
            base_url=base_url,
            xmp=xmp,
            shards=shards,
            split=split,
            threshold=0.5 if threshold is None else threshold,
            top_k=top_k,
            batch_size=batch_size,
            revision=revision,
            tiles=tiling,
            kind=kind,
            backend=backend,
            dtype=dtype,
        )
        return
    if any(option is not None for option in (out, split, kind, concurrency)):
        raise InvalidInputError(
            "--out, --split, --kind and --concurrency are for labeling a dataset: pass --shards, --format or --ray."
        )
    if heatmaps is not None:
        check_out_folder(heatmaps, "--heatmaps")
    if top_k is None and threshold is None:
        top_k = 5
    options = {"top_k": top_k, "threshold": threshold, "tiles": tiling}
    results, skipped = _label_photos(model, images, (revision, backend, dtype), heatmaps, **options)
    if as_json:
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        print_labels(results)
    if skipped:
        raise typer.Exit(1)


def _label_photos(
    model: str, images: list[str], loading: tuple[str | None, str, str], heatmaps: Path | None, **options: Any
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Labels by photo, and how many photos could not be read; they are named, as are the pictures that were drawn.

    `loading` is the model's revision, backend and dtype.
    """
    from wordsight.plotting.heatmap_files import HeatmapFiles

    drawing = None if heatmaps is None else HeatmapFiles(heatmaps)
    load_libraries()
    from wordsight.pipelines.loading import load_pipeline

    revision, backend, dtype = loading
    labeler = load_pipeline(model, revision, backend=backend, dtype=dtype)
    results: dict[str, list[dict[str, Any]]] = {}
    skipped = 0
    with progress_bar("Labeling photos", len(images), "photo", enabled=len(images) > 1) as bar:
        for image in images:
            try:
                results[image] = drawing.label(labeler, image, **options) if drawing else labeler(image, **options)
            except InvalidInputError as error:
                skipped += 1
                typer.echo(f"Skipped: {error}", err=True)
            bar.update()
    if drawing:
        drawing.finish()
        sheets = ", ".join(map(str, drawing.sheets))
        typer.echo(f"Heatmaps in {drawing.folder}, contact sheets: {sheets}" if sheets else "No heatmaps.", err=True)
    return results, skipped


def _check_format(output_format: str | None, base_url: str | None, xmp: str) -> None:
    """Raises InvalidInputError if --format, or an option of one format, can't be used."""
    if output_format is not None and output_format not in OUTPUT_FORMATS:
        raise InvalidInputError(f"--format {output_format} is not known. Pass one of {', '.join(OUTPUT_FORMATS)}.")
    if xmp not in XMP_TARGETS:
        raise InvalidInputError(f"--xmp {xmp} is not known. Pass one of {', '.join(XMP_TARGETS)}.")
    if base_url is not None and output_format != "label-studio":
        raise InvalidInputError("--base-url is for --format label-studio. Omit it, or pass that format.")
    if xmp != XMP_TARGETS[0] and output_format != "xmp":
        raise InvalidInputError("--xmp says where --format xmp writes keywords. Omit it, or pass that format.")


def _for_datasets(shards: int | None, output_format: str | None, ray: str | None) -> str | None:
    """The option by which a dataset is to be labeled, not some photos."""
    given = {"--ray": ray, "--format": output_format, "--shards": shards}
    return next((option for option, value in given.items() if value is not None), None)


def _check_dataset_options(
    given: str, images: list[str], out: str, output_format: str | None, heatmaps: Path | None
) -> None:
    """Raises InvalidInputError if a dataset can't be labeled with these."""
    if len(images) != 1:
        raise InvalidInputError(f"{given} takes one source, got {len(images)}. Put a glob in quotes: 'day*/*'.")
    if heatmaps is not None:
        raise InvalidInputError(f"--heatmaps does not work with {given}. Omit {given}, and name some photos.")
    is_here = "://" not in out
    if is_here:
        check_out_folder(Path(out))
    elif given != "--ray":
        raise InvalidInputError(f"--out {out} is not on this machine: pass --ray.")
    if given == "--ray" and output_format not in (None, "parquet") and not (is_here and "://" not in images[0]):
        raise InvalidInputError(
            f"--format {output_format} is for photos and folders of this machine. Omit it, for parquet files."
        )


def _predict_function(ray: str | None, concurrency: int | None, num_workers: int | None) -> Callable[..., Any]:
    """What labels a dataset: processes of this machine, or a cluster."""
    load_libraries()
    if ray is None:
        if concurrency is not None:
            raise InvalidInputError("--concurrency is for --ray. Omit it, or pass --ray auto.")
        from wordsight.pipelines.batch_inference import predict_shards

        return partial(predict_shards, num_workers=num_workers)
    if num_workers is not None:
        raise InvalidInputError("--num-workers does not work with --ray, which reads on all CPUs. Omit it.")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InvalidInputError("--ray shares the work itself. Run the command once, without torchrun or accelerate.")
    from wordsight.scale import predict_on_ray

    return partial(predict_on_ray, ray=ray, concurrency=concurrency)


def _label_dataset(
    model: str,
    source: str,
    out: str,
    output_format: str | None,
    predict: Callable[..., Any],
    base_url: str | None,
    xmp: str,
    **options: Any,
) -> None:
    """`predict_to_format`, and a last word by the main process."""
    from accelerate import PartialState

    from wordsight.pipelines.formats.write import READ_PARQUET, predict_to_format

    if output_format in (None, "parquet") and ("://" in out or "://" in source):
        done = predict(model, source, out, **options)
        told = READ_PARQUET.format(folder=str(done.folder).partition("?")[0])
    else:
        options |= {"base_url": base_url, "xmp": xmp, "predict": predict}
        done, told = predict_to_format(model, source, out, output_format or "parquet", **options)  # type: ignore[arg-type]
    if PartialState().is_main_process:
        photos = f"{done.photos} photo" + ("" if done.photos == 1 else "s")
        typer.echo(f"{photos} in {done.folder}, {done.unreadable} unreadable. {told}")
    PartialState().destroy_process_group()


def print_labels(results: dict[str, list[dict[str, Any]]]) -> None:
    """Photos and their labels as a table."""
    table = Table("photo", "labels")
    for photo, labels in results.items():
        table.add_row(photo, ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in labels) or "-")
    plain_console().print(table)
