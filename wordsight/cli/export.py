"""`wordsight export`: a model for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import load_libraries

from .options import check_exists, check_out_folder

TARGETS = ("onnx", "web")


def export(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    to: Annotated[str, typer.Option(help=f"One of {', '.join(TARGETS)}.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Folder for the exported model; by default MODEL itself.")] = None,
    quantize: Annotated[str | None, typer.Option(help="int8: a graph of a quarter of the size as well.")] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Photos for int8, or a folder of them: needed by convolutional encoders; can be repeated."),
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="With --to web: address of onnxruntime-web; by default a CDN's.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The model's revision on the Hub.")] = None,
) -> None:
    """Export a model: its image half and scores as one ONNX graph, that onnxruntime runs without PyTorch.

    The graph is compared with the model before it is kept. It takes any number of photos at once and, of most
    encoders, photos of any size.

    Example: wordsight export my-model --to onnx

    Example: wordsight export my-model --to onnx --quantize int8 --photos holiday-photos

    Then: wordsight predict my-model beach.jpg --backend onnx

    With --to web, a folder is written that any static web server can serve: a page that labels photos in the browser.

    Example: wordsight export my-model --to web --out page
    """
    if to not in TARGETS:
        raise InvalidInputError(f"--to {to} is not known. Pass one of {', '.join(TARGETS)}.")
    if quantize not in (None, "int8"):
        raise InvalidInputError(f"--quantize {quantize} is not known. Pass int8, or omit it.")
    for path in photos or ():
        check_exists(path, "photo or folder")
    if out is not None:
        check_out_folder(out)
    if to == "web" and out is None:
        raise InvalidInputError("--to web writes a folder of its own. Pass --out.")
    if runtime is not None and to != "web":
        raise InvalidInputError("--runtime is for --to web. Omit it, or pass that.")
    load_libraries()
    from wordsight.pipelines.export import export_onnx

    if to == "web" and out is not None:
        from wordsight.pipelines.export_web import RUNTIME, export_web

        page = export_web(model, out, quantize, tuple(photos or ()), revision, runtime or RUNTIME)
        typer.echo(f"{page}. To try it: python -m http.server --directory {out}")
        return
    path, any_size = export_onnx(model, out, quantize, photos or (), revision)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    typer.echo(
        f"{path} ({size}), for photos of {'any size' if any_size else 'the size that the image processor makes'}"
    )
