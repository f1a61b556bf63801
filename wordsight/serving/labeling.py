"""The pipeline in three steps, so that requests share batches: photos are prepared, encoded together, labeled."""

from __future__ import annotations

import base64
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from transformers.pipelines.base import pad_collate_fn
from transformers.pipelines.pt_utils import PipelineIterator

from .metrics import Metrics
from .schemas import Parameters

if TYPE_CHECKING:
    from PIL import Image

    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

HEATMAP_PIXELS = 100 * 10**6  # of all heat maps of a photo together


@dataclass(frozen=True)
class Settings:
    """What a request asks for, as the pipeline's three steps take it."""

    preprocess: dict[str, Any]
    forward: dict[str, Any]
    postprocess: dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A photo's pixels as the model takes them, and what is asked for."""

    inputs: Any
    settings: Settings

    @property
    def kind(self) -> tuple[Any, ...]:
        """Photos of the same kind can be in one batch: same settings of the model, same entries, same shapes."""
        shapes = sorted((name, tuple(value.shape[1:])) for name, value in self.inputs.items())
        return tuple(self.settings.forward.items()), tuple(shapes)


class Labeler:
    """A pipeline whose steps are called one by one.

    Args:
        classifier: the pipeline.
        metrics: told what the model does.
    """

    def __init__(self, classifier: MultiLabelImageClassificationPipeline, metrics: Metrics) -> None:
        self.classifier, self.metrics = classifier, metrics
        self.names: list[str] = classifier.model.config.category_names
        self.seconds_per_photo = 0.0
        self._collate = pad_collate_fn(None, classifier.image_processor)

    def settings(self, parameters: Parameters) -> Settings:
        """What a request's parameters mean.

        Raises:
            HTTPException: 422, they don't fit together.
        """
        pipe = self.classifier
        try:
            steps = pipe._sanitize_parameters(**parameters.model_dump(exclude_none=True))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        defaults = (pipe._preprocess_params, pipe._forward_params, pipe._postprocess_params)
        return Settings(*(given | asked for given, asked in zip(defaults, steps, strict=True)))

    def least_size(self, settings: Settings) -> int | None:
        """Fewest pixels on the shorter side that a photo may be decoded at, as in the pipeline."""
        asked = {
            name: settings.preprocess[name] for name in ("output_heatmaps", "tiles") if name in settings.preprocess
        }
        return self.classifier.least_size(**asked)

    def prepare(self, photo: Image.Image, settings: Settings, name: str = "The photo") -> Prepared:
        """A photo for the model; in any thread.

        Raises:
            HTTPException: 422, the heat maps that are asked for would be too large.
        """
        if settings.forward.get("output_heatmaps"):
            count = min(settings.postprocess.get("top_k") or len(self.names), len(self.names))
            if count * photo.width * photo.height > HEATMAP_PIXELS:
                raise HTTPException(
                    422,
                    f"{name} has {photo.width} x {photo.height} pixels, too many for {count} heat maps. Send a smaller "
                    "photo, or ask for a smaller top_k.",
                )
        return Prepared(self.classifier.preprocess(photo, **settings.preprocess), settings)

    def forward(self, batch: Sequence[Prepared]) -> list[Any]:
        """What the model says of each photo of a batch; in one thread at a time."""
        start = time.perf_counter()
        kinds: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, prepared in enumerate(batch):
            kinds[prepared.kind].append(number)
        results: dict[int, Any] = {}
        for numbers in kinds.values():
            together = self._collate([dict(batch[number].inputs) for number in numbers])
            parameters = batch[numbers[0]].settings.forward
            # As transformers' own pipelines encode a batch and take it apart.
            told = PipelineIterator([together], self.classifier.forward, parameters, loader_batch_size=len(numbers))
            results |= zip(numbers, told, strict=True)
        seconds = time.perf_counter() - start
        self.seconds_per_photo = seconds / len(batch)
        self.metrics.photos.inc(len(batch))
        self.metrics.batches.observe(len(batch))
        self.metrics.model_seconds.observe(seconds)
        return [results[number] for number in range(len(batch))]

    def finish(self, output: Any, settings: Settings) -> list[dict[str, Any]]:
        """A photo's labels as they are sent; in any thread."""
        labels = self.classifier.postprocess(output, **settings.postprocess)
        for entry in labels:
            if "heatmap" in entry:
                picture = BytesIO()
                entry["heatmap"].save(picture, "PNG")
                entry["heatmap"] = base64.b64encode(picture.getvalue()).decode()
        return labels
