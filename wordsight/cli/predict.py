"""`wordsight predict`: labels for photos, or for a large dataset of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from wordsight.modeling.tiling import check_tiling
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
    out: Annotated[Path | None, typer.Option(help="With --shards: folder for the parquet files.")] = None,
    split: Annotated[str | None, typer.Option(help="With --shards: split of a Hub dataset, by default train.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="With --shards, where a folder has several kinds: photos, tar or parquet.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="With --shards: photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=f"With --shards. {WORKERS_HELP}", min=0)] = None,
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
    if shards is not None:
        if len(images) != 1:
            raise InvalidInputError(f"--shards takes one source, got {len(images)}. Put a glob in quotes: 'day*/*'.")
        if out is None or as_json:
            raise InvalidInputError("--shards writes parquet files: pass --out DIR, and omit --json.")
        if heatmaps is not None:
            raise InvalidInputError("--heatmaps does not work with --shards. Omit --shards, and name some photos.")
        check_out_folder(out)
        _label_dataset(
            model,
            images[0],
            out,
            shards,
            split=split,
            threshold=0.5 if threshold is None else threshold,
            top_k=top_k,
            batch_size=batch_size,
            num_workers=num_workers,
            revision=revision,
            tiles=tiling,
            kind=kind,
        )
        return
    if out is not None or split is not None or kind is not None:
        raise InvalidInputError("--out, --split and --kind are for labeling a dataset: pass --shards, too.")
    if heatmaps is not None:
        check_out_folder(heatmaps, "--heatmaps")
    if top_k is None and threshold is None:
        top_k = 5
    results, skipped = _label_photos(model, images, revision, heatmaps, top_k=top_k, threshold=threshold, tiles=tiling)
    if as_json:
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        print_labels(results)
    if skipped:
        raise typer.Exit(1)


def _label_photos(
    model: str, images: list[str], revision: str | None, heatmaps: Path | None, **options: Any
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Labels by photo, and how many photos could not be read; they are named, as are the pictures that were drawn."""
    from wordsight.plotting.heatmap_files import HeatmapFiles

    drawing = None if heatmaps is None else HeatmapFiles(heatmaps)
    load_libraries()
    from wordsight.pipelines.loading import load_pipeline

    labeler = load_pipeline(model, revision)
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


def _label_dataset(*arguments: Any, **options: Any) -> None:
    """`predict_shards`, and a last word by the main process."""
    load_libraries()
    from accelerate import PartialState

    from wordsight.pipelines.batch_inference import predict_shards

    done = predict_shards(*arguments, **options)
    if PartialState().is_main_process:
        photos = f"{done.photos} photo" + ("" if done.photos == 1 else "s")
        typer.echo(f"{photos} in {done.folder}, {done.unreadable} unreadable. To read the labels:")
        typer.echo(f'datasets.load_dataset("parquet", data_files="{done.folder}/*.parquet")')
    PartialState().destroy_process_group()


def print_labels(results: dict[str, list[dict[str, Any]]]) -> None:
    """Photos and their labels as a table."""
    table = Table("photo", "labels")
    for photo, labels in results.items():
        table.add_row(photo, ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in labels) or "-")
    plain_console().print(table)
