"""What Inference Endpoints runs for this model: pushed as `handler.py` by `wordsight push --endpoint`. Apache-2.0.

It needs transformers, torch and Pillow. The model's own code comes with the repository, so wordsight need not be
installed.
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

from PIL import Image
from transformers import pipeline

BATCH_SIZE = 8
# Pillow reads more, of which some hand the file to other programs (EPS to Ghostscript).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")


class EndpointHandler:
    """Labels photos.

    Args:
        path: folder of the repository's files.
    """

    def __init__(self, path: str = "") -> None:
        task: Any = "multi-label-image-classification"  # which comes with the repository
        self.classifier = pipeline(task, model=str(path), trust_remote_code=True)

    def __call__(self, data: dict[str, Any]) -> list[Any]:
        """Labels of a photo, best first; of a list of photos a list of such lists.

        Args:
            data: "inputs", a photo as image, bytes or base64, or a list of those; and "parameters", arguments of the
                pipeline: top_k, threshold, function_to_apply, tiles, output_heatmaps.

        Raises:
            ValueError: an input is no photo, or a parameter can't be used.
        """
        inputs, parameters = data["inputs"], dict(data.get("parameters") or {})
        if isinstance(parameters.get("threshold"), str):  # from the address: ?threshold=0.5
            parameters["threshold"] = float(parameters["threshold"])
        if not isinstance(inputs, list):
            return self._label([inputs], parameters)[0]
        return self._label(inputs, parameters)

    def _label(self, inputs: list[Any], parameters: dict[str, Any]) -> list[Any]:
        photos = [_opened(each) for each in inputs]
        found: list[Any] = self.classifier(photos, batch_size=min(len(photos), BATCH_SIZE) or 1, **parameters)
        for entry in (entry for labels in found for entry in labels if "heatmap" in entry):
            picture = BytesIO()
            entry["heatmap"].save(picture, "PNG")
            entry["heatmap"] = base64.b64encode(picture.getvalue()).decode()
        return found


def _opened(given: Any) -> Image.Image:
    """A photo of what was sent. Texts are base64: paths and URLs would be those of this machine and its network."""
    if isinstance(given, Image.Image):
        return given
    try:
        if isinstance(given, str):
            given = base64.b64decode("".join(given.rpartition(",")[2].split()), validate=True)
        if not isinstance(given, bytes | bytearray):
            raise TypeError(f"an input is {type(given).__name__}")
        return Image.open(BytesIO(given), formats=FORMATS)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError("An input can't be read as an image. Send photos as they are, or in base64.") from error
