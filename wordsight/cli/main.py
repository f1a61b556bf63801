"""The command line: one file a command, each a thin front of a function that Python users call too."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Annotated, Any

import typer
from wrapt import register_post_import_hook

from wordsight.utils.errors import WordsightError
from wordsight.utils.progress import be_quiet, is_quiet
from wordsight.version import __version__

from .ablate import ablate
from .accelerate_config import accelerate_config
from .app import app as browser_app
from .calibrate import calibrate
from .demo import demo
from .describe import describe
from .doctor import doctor
from .encoder import encoder_app
from .evaluate import evaluate
from .extend import extend
from .groups import groups
from .predict import predict
from .push import push, push_texts
from .train import train

QUIET_OPTION = "--quiet"

app = typer.Typer(
    name="wordsight",
    help="Tag photos with several labels at once, from category names alone: no training images.\n\n"
    "The whole way: describe (an LLM writes sentences), train (prompts are learned from them), predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    describe,
    train,
    predict,
    evaluate,
    groups,
    extend,
    calibrate,
    ablate,
    push,
    push_texts,
    doctor,
    demo,
    accelerate_config,
):
    app.command()(command)
app.command("app")(browser_app)
app.add_typer(encoder_app, name="encoder")


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
