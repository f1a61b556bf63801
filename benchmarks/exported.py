"""The same model in PyTorch, compiled, in ONNX Runtime and there in 8 bits: photos a second, and mAP on labeled photos.

`python -m benchmarks.exported --photos FOLDER [--count N]` measures mAP on photos of a JSONL benchmark as well.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpus import category_names
from benchmarks.labeling_photos import photos
from benchmarks.measure import in_new_process, interleaved, ratios, scratch_folder, spread
from wordsight import Category, WordsightForMultiLabelImageClassification, export_onnx, load_pipeline
from wordsight.modeling.evaluation.datasets import EvaluationDataset, load_labeled_photos
from wordsight.modeling.metrics import mean_average_precision
from wordsight.pipelines.image_loader import open_photo

BACKENDS = ("torch", "onnx", "onnx-int8")
CATEGORIES, ENCODER = 80, "imagenet"
COMPILE_SECONDS = 120.0  # for loading, compiling and measuring; it took more than ten minutes at times


def exported(names: list[str], pictures: list[Any]) -> str:
    """A zero-shot model with both graphs; ranges of activations are those of some photos."""
    folder = scratch_folder()
    WordsightForMultiLabelImageClassification.from_encoder(ENCODER, names).save_pretrained(folder)
    with tempfile.TemporaryDirectory() as place:
        for number, picture in enumerate(pictures):
            picture.save(Path(place) / f"{number}.png")
        export_onnx(str(folder), quantize="int8", photos=[Path(place)])
    return str(folder)


def speed(folder: str, batch: int, repeats: int) -> dict[str, Any]:
    """Photos a second, for the image half and scores of a batch that is prepared already."""
    models = {backend: load_pipeline(folder, backend=backend).model for backend in BACKENDS}
    pixels = _prepared(folder, batch)
    cases = {backend: lambda model=model: model.view_logits(pixels) for backend, model in models.items()}
    with torch.no_grad():
        found = _compared(interleaved(cases, repeats), batch)
    try:
        arguments = ("--compiled", folder, "--batch", str(batch), "--repeats", str(repeats))
        compiled = in_new_process("benchmarks.exported", *arguments, timeout=COMPILE_SECONDS)
    except TimeoutError:
        return found | {"unfinished": {"torch.compile": COMPILE_SECONDS}}
    return {key: rows | {"torch.compile": compiled[key]["torch.compile"]} for key, rows in found.items()}


def compiled_speed(folder: str, batch: int, repeats: int) -> dict[str, Any]:
    """The same of the compiled model beside PyTorch's own."""
    model, pixels = load_pipeline(folder).model, _prepared(folder, batch)
    compiled = torch.compile(model.view_logits)
    with torch.no_grad():
        cases = {"torch": lambda: model.view_logits(pixels), "torch.compile": lambda: compiled(pixels)}
        return _compared(interleaved(cases, repeats), batch)


def _prepared(folder: str, batch: int) -> torch.Tensor:
    classifier = load_pipeline(folder)
    return torch.cat([classifier.preprocess(picture)["pixel_values"] for picture in photos(batch)])


def _compared(seconds: dict[str, list[float]], batch: int) -> dict[str, Any]:
    return {
        "photos_a_second": {name: spread([batch / value for value in values]) for name, values in seconds.items()},
        "torch / it": {name: ratios(seconds["torch"], values) for name, values in seconds.items()},
    }


def accuracy(folder: Path, count: int) -> dict[str, float]:
    """MAP of each backend on the last photos; the ranges of 8 bits are taken from the first hundred."""
    names = [line.split(",")[0].strip() for line in (folder / "classes.txt").read_text().splitlines() if line.strip()]
    dataset = load_labeled_photos(folder, "jsonl", [Category(name) for name in names])
    model = exported(names, [open_photo(photo.source) for photo in dataset.photos[:100]])
    return {backend: _map(model, backend, dataset, count) for backend in BACKENDS}


def _map(folder: str, backend: str, dataset: EvaluationDataset, count: int) -> float:
    classifier = load_pipeline(folder, backend=backend)
    index = {name: k for k, name in enumerate(classifier.model.config.category_names)}
    scores = np.zeros((count, len(index)))
    for row, labels in enumerate(classifier([str(photo.source) for photo in dataset.photos[-count:]])):
        for entry in labels:
            scores[row, index[entry["label"]]] = entry["score"]
    return mean_average_precision(scores, dataset.labels[-count:])


def main() -> None:
    """Measures, and prints JSON."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exported", description=__doc__)
    parser.add_argument("--photos", type=Path, help="JSONL benchmark with classes.txt, for mAP")
    parser.add_argument("--count", type=int, default=400, help="photos of it, from the last on")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement")
    parser.add_argument("--compiled", metavar="FOLDER", help=argparse.SUPPRESS)  # measures only that, of this model
    parser.add_argument("--batch", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.compiled:
        print(json.dumps(compiled_speed(arguments.compiled, arguments.batch, arguments.repeats)))
        return
    folder = exported(category_names(CATEGORIES), photos(2))
    found: dict[str, Any] = {f"batch {batch}": speed(folder, batch, arguments.repeats) for batch in (1, 16)}
    if arguments.photos:
        found["mAP"] = accuracy(arguments.photos, arguments.count) | {"photos": arguments.count}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
