"""Where the time of labeling photos from files goes: decoding, preparation, the image encoder, scores.

On one core, in CPU time: that is the wall-clock of a core that does nothing else, whatever this one does. What reading
ahead brings is in wall-clock.

`python -m benchmarks.reading --photos FOLDER [--count N]` measures instead what reduced decoding does to mAP, on photos
of a JSONL benchmark that are enlarged to 12 megapixels.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.encoders import random_clip
from benchmarks.labeling_photos import model_folder
from benchmarks.measure import Seconds, interleaved, ratios, spread
from wordsight import Category, WordsightForMultiLabelImageClassification, load_pipeline
from wordsight.example_photos import load_photos
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.modeling.metrics import mean_average_precision
from wordsight.pipelines.image_io import decode_photo, draft_size
from wordsight.pipelines.image_loader import open_photo, photo_batches

SIZES = {"12 megapixels": (4000, 3000), "2.5 megapixels": (1920, 1280)}
QUALITY, GRAIN = 90, 4.0  # of 255: without it, enlarged photos would have less in them to decode than a camera's
Decoder = Callable[[bytes, int | None], Any]
STAGES = ("decode", "prepare", "encode", "score")


def camera_photo(photo: Image.Image, size: tuple[int, int], seed: int = 0) -> bytes:
    """A photo as a JPEG of a camera's size: enlarged, with grain."""
    large = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.LANCZOS), dtype=np.float32)
    grain = np.random.default_rng(seed).normal(0, GRAIN, (*large.shape[:2], 1)).astype(np.float32)
    content = BytesIO()
    Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


def camera_photos(size: tuple[int, int], count: int) -> list[bytes]:
    """So many files' contents, of four photos that come with scikit-image."""
    some = [camera_photo(photo, size, seed) for seed, photo in enumerate(islice(load_photos().values(), 4))]
    return list(islice(cycle(some), count))


def decoders() -> dict[str, Decoder]:
    """What decodes a JPEG, not below so many pixels on the shorter side, of all libraries that are installed."""
    found: dict[str, Decoder] = {"Pillow": decode_photo}
    with suppress(ImportError):
        simplejpeg = importlib.import_module("simplejpeg")
        found["simplejpeg"] = lambda content, least: simplejpeg.decode_jpeg(
            content, "RGB", min_height=least or 0, min_width=least or 0
        )
    with suppress(ImportError):
        cv2 = importlib.import_module("cv2")
        cv2.setNumThreads(1)
        flags = {1: cv2.IMREAD_COLOR, **{n: getattr(cv2, f"IMREAD_REDUCED_COLOR_{n}") for n in (2, 4, 8)}}

        def decode(content: bytes, least: int | None) -> Any:
            with Image.open(BytesIO(content)) as header:
                shorter = min(header.size)
            factor = max(n for n in flags if n == 1 or (least and shorter // n >= least))
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags[factor])
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

        found["OpenCV"] = decode
    return found


def decoding(image_processor: Any, contents: list[bytes], repeats: int) -> dict[str, Any]:
    """Photos a second of each decoder, in full and reduced, with and without preparation; and how pixels differ."""
    least = draft_size(image_processor)
    ways = {
        f"{name}, {how}": (decode, size)
        for name, decode in decoders().items()
        for how, size in {"full": None, "reduced": least}.items()
    }
    prepare = type(image_processor).from_dict(image_processor.to_dict() | {"do_rescale": False, "do_normalize": False})

    def pixels(decode: Decoder, size: int | None) -> Any:
        return prepare(images=[decode(content, size) for content in contents[:4]], return_tensors="np").pixel_values

    def measured(decode: Decoder, size: int | None, after: Callable[[Any], Any]) -> Seconds:
        start = time.process_time()
        for content in contents:
            after(decode(content, size))
        return Seconds(time.process_time() - start)

    cases = {
        name + ending: lambda decode=decode, size=size, after=after: measured(decode, size, after)  # type: ignore[misc]
        for name, (decode, size) in ways.items()
        for ending, after in {"": len_of, " and prepared": lambda p: prepare(images=[p], return_tensors="np")}.items()
    }
    seconds = interleaved(cases, repeats)
    plain = pixels(decode_photo, None).astype(float)
    off = {name: np.abs(pixels(*way).astype(float) - plain) for name, way in ways.items()}
    return {
        "photos_a_second": {
            name: spread([len(contents) / value for value in values]) for name, values in seconds.items()
        },
        "Pillow, full and prepared / it": {
            name: ratios(seconds["Pillow, full and prepared"], values) for name, values in seconds.items()
        },
        "pixels_off": {name: {"mean": float(d.mean()), "max": float(d.max())} for name, d in off.items()},
    }


def len_of(decoded: Any) -> int:
    """Rows of what was decoded, all of which are there by now."""
    return int(np.shape(decoded)[0])


def shares(classifier: Any, contents: list[bytes], repeats: int) -> dict[str, Any]:
    """Milliseconds a photo in each stage, in full and reduced, one after the other in one process."""
    model, processor = classifier.model, classifier.image_processor
    found = {}
    for how, least in {"full": None, "reduced": draft_size(processor)}.items():
        stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
        for repeat in range(repeats + 1):  # the first does not count
            clock = [time.process_time()]

            def lap(result: Any, clock: list[float] = clock) -> Any:
                clock.append(time.process_time())
                return result

            with torch.no_grad():
                photos = lap([decode_photo(content, least) for content in contents])
                pixels = lap(processor(images=photos, return_tensors="pt").pixel_values)
                image = lap(model.image_encoder(pixels))
                logits = model.score_views(*model.branch_logits(image.pooled, image.patches), None).logits
                lap([classifier.postprocess({"logits": one}, threshold=0.5) for one in logits.split(1)])
            for stage, seconds in zip(STAGES, np.diff(clock) if repeat else (), strict=bool(repeat)):
                stages[stage].append(1000 * float(seconds) / len(contents))
        found[how] = {stage: spread(values) for stage, values in stages.items()}
    return found


def ahead(classifier: Any, contents: list[bytes], repeats: int, batch: int) -> dict[str, Any]:
    """Photos a second when none, one or two processes read ahead of the encoder."""

    def label(num_workers: int) -> Seconds:
        batches: Iterator[Any] = photo_batches(contents, classifier.image_processor, batch, num_workers=num_workers)
        start = time.perf_counter()
        for each in batches:
            classifier.model.view_logits(each.pixel_values)
        return Seconds(time.perf_counter() - start)

    with torch.no_grad():
        seconds = interleaved({f"{n} ahead": lambda n=n: label(n) for n in (0, 1, 2)}, repeats)  # type: ignore[misc]
    return {name: spread([len(contents) / value for value in values]) for name, values in seconds.items()}


def accuracy(folder: Path, count: int) -> dict[str, float]:
    """MAP on photos that are enlarged to 12 megapixels, decoded in full and reduced, and how scores differ."""
    names = [line.split(",")[0].strip() for line in (folder / "classes.txt").read_text().splitlines() if line.strip()]
    dataset = load_labeled_photos(folder, "jsonl", [Category(name) for name in names])
    model = WordsightForMultiLabelImageClassification.from_encoder("imagenet", names).eval()
    processor = model.image_encoder.image_processor  # type: ignore[union-attr]
    scores: dict[str, list[Any]] = {"full": [], "reduced": []}
    for photo in dataset.photos[-count:]:
        opened = open_photo(photo.source)
        turned = SIZES["12 megapixels"][:: 1 if opened.width > opened.height else -1]
        content = camera_photo(opened, turned)
        for how, least in {"full": None, "reduced": draft_size(processor)}.items():
            pixels = processor(images=[decode_photo(content, least)], return_tensors="pt").pixel_values
            with torch.no_grad():
                scores[how].append(model(pixels).logits.sigmoid().numpy()[0])
    full, reduced = (np.stack(rows) for rows in scores.values())
    off = np.abs(full - reduced)
    found = {how: mean_average_precision(np.stack(rows), dataset.labels[-count:]) for how, rows in scores.items()}
    return found | {"photos": count, "scores_off_mean": float(off.mean()), "scores_off_max": float(off.max())}


def run(repeats: int = 3, batch: int = 4) -> dict[str, Any]:
    """All of it."""
    torch.set_num_threads(1)
    encoders = {"ImageNet encoder": "imagenet", "CLIP B/32": str(random_clip())}
    classifiers = {name: load_pipeline(model_folder(encoder)) for name, encoder in encoders.items()}
    found: dict[str, Any] = {}
    for name, size in SIZES.items():
        contents = camera_photos(size, batch)
        found[name] = {
            "bytes": int(np.mean([len(content) for content in contents])),
            "decoding": decoding(classifiers["CLIP B/32"].image_processor, contents, repeats),
            "shares": {encoder: shares(classifier, contents, repeats) for encoder, classifier in classifiers.items()},
            "read ahead": ahead(classifiers["CLIP B/32"], camera_photos(size, 4 * batch), repeats - 1, batch),
        }
    return found


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--photos", type=Path, help="JSONL benchmark with classes.txt, for mAP instead of speed")
    parser.add_argument("--count", type=int, default=100, help="photos of it, from the last on")
    arguments = parser.parse_args()
    print(json.dumps(accuracy(arguments.photos, arguments.count) if arguments.photos else run()))
