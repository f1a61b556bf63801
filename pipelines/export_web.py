"""Exports a model as a page that labels photos in the browser, without a server but a static one."""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from transformers import AutoImageProcessor

from wordsight.modeling.configuration_wordsight import WordsightConfig
from wordsight.utils.errors import InvalidInputError, writing

from .export import export_onnx

# The version that the tests run; https, since a page that is served by https loads nothing else.
RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/ort.wasm.min.mjs"
PAGE = ("index.html", "page.js", "model.js")
RESAMPLES = (1, 2, 3)  # Pillow's Lanczos, bilinear and bicubic, which the page has
KEPT = ("size", "crop_size", "do_center_crop", "resample", "rescale_factor", "image_mean", "image_std")


def export_web(
    model: str,
    out: Path,
    quantize: str | None = None,
    photos: tuple[Path, ...] = (),
    revision: str | None = None,
    runtime: str = RUNTIME,
) -> Path:
    """Writes a folder that any web server can serve: the page, the graph, labels and the image processor's settings.

    Photos are prepared in the browser as the image processor prepares them, and never leave it.

    Args:
        model: folder or Hub id.
        out: folder for the page.
        quantize: "int8" for a smaller download.
        photos: see `export_onnx`.
        revision: the model's revision on the Hub.
        runtime: address of onnxruntime-web's module; a path that begins with ./ is in the folder.

    Returns:
        The page.

    Raises:
        InvalidInputError: as `export_onnx`, or the image processor does something that the page can't.
    """
    processor = AutoImageProcessor.from_pretrained(model, revision=revision or "main", trust_remote_code=False)
    settings = {name: _plain(value) for name in KEPT if (value := getattr(processor, name, None)) is not None}
    if settings.get("resample", 3) not in RESAMPLES:
        raise InvalidInputError(
            f"The image processor resizes with filter {settings['resample']}, which the page lacks."
        )
    config = WordsightConfig.from_pretrained(model, revision=revision or "main")
    with tempfile.TemporaryDirectory() as scratch, writing(out, "export again"):
        graph, _ = export_onnx(model, Path(scratch), quantize, photos, revision)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(graph, out / "model.onnx")
        for name in PAGE:
            (out / name).write_text((files("wordsight") / "data" / "web" / name).read_text("utf-8"), "utf-8")
        content = {"runtime": runtime, "labels": config.category_names, "image_processor": settings}
        (out / "config.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return out / "index.html"


def _plain(value: object) -> object:
    """What JSON has: sizes as objects, numbers of filters as numbers."""
    if hasattr(value, "height") and hasattr(value, "shortest_edge"):
        sides = ("height", "width", "shortest_edge", "longest_edge")
        return {side: getattr(value, side) for side in sides if getattr(value, side, None) is not None}
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
