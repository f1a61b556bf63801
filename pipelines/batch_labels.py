"""From batches of prepared photos to the pipeline's labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wordsight.modeling.memory import Pieces
from wordsight.modeling.photo_batches import PhotoBatch

if TYPE_CHECKING:
    from .multi_label_image_classification import MultiLabelImageClassificationPipeline


@dataclass(frozen=True)
class BatchLabels:
    """Labels many batches; one object for all of a job, since it keeps how many photos fit into memory.

    Attributes:
        classifier: the pipeline.
        options: its threshold and top_k.
        pieces: how many photos fit.
    """

    classifier: MultiLabelImageClassificationPipeline
    options: dict[str, Any]
    pieces: Pieces = field(default_factory=Pieces)

    @torch.no_grad()
    def __call__(self, batch: PhotoBatch) -> list[tuple[int, list[dict[str, Any]]]]:
        """Numbers of a batch's photos, in order, with the labels that the pipeline gives them; none if unreadable."""
        model: Any = self.classifier.model
        pixels = batch.pixel_values
        parts = self.pieces(
            lambda rows: model.view_logits(pixels[rows].to(model.device, non_blocking=True)), len(pixels)
        )
        logits: dict[int, Tensor] = {}
        if parts:
            branches = (torch.cat(of_pieces) for of_pieces in zip(*parts, strict=True))
            views = (torch.tensor(given, device=model.device) for given in (batch.num_views, batch.whole_weights))
            output = model.score_views(*branches, None, None, *views)
            logits = dict(zip(batch.rows, output.logits.cpu().split(1), strict=True))
        return [
            (row, self.classifier.postprocess({"logits": logits[row]}, **self.options) if row in logits else [])
            for row in sorted([*logits, *batch.unreadable])
        ]
