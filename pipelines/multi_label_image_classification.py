"""`pipeline("multi-label-image-classification")`: photos in, labels with calibrated scores out."""

from __future__ import annotations

import os
import sys
from numbers import Real
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from transformers import AutoModelForImageClassification, ImageClassificationPipeline
from transformers.dynamic_module_utils import custom_object_save
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.image_classification import ClassificationFunction, sigmoid, softmax

from wordsight.modeling.configuration_wordsight import INSTALLED, TASK, WordsightConfig
from wordsight.modeling.tiling import Tiling, check_tiling, plan_tiles, whole_weight
from wordsight.utils.errors import InvalidInputError, check_not_empty
from wordsight.utils.plugins import load_plugin

from .heatmaps import draw_views, seen_part
from .image_io import UNREADABLE, decode_photo, draft_size, image_of, open_input, reason_of
from .tiles import views_of


class MultiLabelImageClassificationPipeline(ImageClassificationPipeline):
    """Labels photos with any number of a model's categories.

    Follows transformers' image classification: one photo (path, URL, base64, PIL image, array) gives a list of
    `{"label", "score"}`, best first; several (list, generator, `datasets` dataset or `KeyDataset`) give a list (or, for
    generators and datasets, a stream) of such lists. EXIF rotation is obeyed; see `decode_photo` for what becomes of
    transparency, deep grays and animations. Large JPEGs are decoded at reduced scale, at least at twice the size that
    the encoder sees; a PIL image, and a photo whose heat maps are asked for, is taken as large as it is.

    Args:
        top_k (`int`, *optional*): how many labels to return; all by default, since any number can be right.
        threshold (`float`, *optional*): only labels with at least this score; 0.5 is each category's calibrated
            threshold.
        function_to_apply (`str`, *optional*): from calibrated logits to scores: "default" and "sigmoid" give
            probabilities, as transformers' image-classification pipeline does; "softmax" or "none" are possible too.
        timeout (`float`, *optional*): seconds to wait for a URL, 10 by default.
        tiles (`str`, *optional*): which parts of a photo to look at beside the whole, for wide or crowded photos:
            "off", "auto" (2 to 6 tiles) or "fine" (9 to 15); by default as the model's config says. Each tile takes as
            long as the whole photo.
        output_heatmaps (`bool`, *optional*): whether each label gets a third key "heatmap": where it is, as a PIL image
            of mode "L" in the photo's own, upright size (JPEGs of more than 89 megapixels are decoded at reduced
            scale). It shows the local branch's logits at the encoder's patches, those of tiles as well, interpolated
            bilinearly: 0 is the label's least in this photo, and what the encoder did not see; 255 is its greatest. So
            brightness says where, and the score says whether. Each label costs a picture of the photo's size: set
            top_k or threshold.

    Example:
        >>> import wordsight
        >>> from transformers import pipeline
        >>> classifier = pipeline("multi-label-image-classification", model="my-model")
        >>> [entry["label"] for entry in classifier("photos/chelsea.jpg", top_k=1)]
        ['cat']
    """

    def _sanitize_parameters(  # type: ignore[override]
        self,
        top_k: int | None = None,
        threshold: float | None = None,
        function_to_apply: str | ClassificationFunction | None = None,
        timeout: float | None = None,
        tiles: str | None = None,
        output_heatmaps: bool | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise InvalidInputError(f"top_k must be a whole number of 1 or more, got {top_k!r}.")
        if threshold is not None and function_to_apply != "none":
            check_threshold(threshold)
        asked, function_to_apply = function_to_apply, None if function_to_apply == "default" else function_to_apply
        preprocess, _, postprocess = super()._sanitize_parameters(top_k, function_to_apply, timeout)
        if asked is not None:  # "default" too, so that a call can set back what the pipeline was made with
            postprocess["function_to_apply"] = function_to_apply and ClassificationFunction(function_to_apply)
        if threshold is not None:
            postprocess["threshold"] = threshold
        heatmaps = {} if output_heatmaps is None else {"output_heatmaps": output_heatmaps}
        tiling = {} if tiles is None else {"tiles": check_tiling(tiles)}
        return preprocess | heatmaps | tiling, heatmaps, postprocess | tiling

    def check_model_type(self, supported_models: Any) -> None:
        """Skips transformers' check, which knows only its own models and warns of all others."""

    def __call__(self, inputs: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Labels one photo or many; see the class."""
        if isinstance(inputs, list) and not inputs:
            return []
        # A `datasets` object can only be given once the package is imported, and who lacks it needs no more than that.
        datasets = sys.modules.get("datasets")
        if datasets is not None:
            if isinstance(inputs, datasets.Dataset | datasets.arrow_dataset.Column):
                inputs = _Rows(inputs)
            elif isinstance(inputs, datasets.IterableDataset | datasets.iterable_dataset.IterableColumn):
                inputs = (example for example in inputs)
        if isinstance(inputs, np.ndarray | torch.Tensor) and inputs.ndim == 4:
            inputs = list(inputs)  # a stack of photos
        return super().__call__(inputs, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Writes the model, its image processor and the code to use it.

        The folder loads where wordsight is not installed, with `pipeline(model=folder, trust_remote_code=True)`.

        Args:
            save_directory: the folder, made if need be.
            kwargs: those of the model's `save_pretrained`.

        Raises:
            InvalidInputError: the path is empty, or that of a file.
        """
        check_not_empty(save_directory, "save_directory")
        if Path(save_directory).is_file():
            raise InvalidInputError(f"{save_directory} is a file, not a folder. Pass the path of a folder.")
        self.model.save_pretrained(save_directory, **kwargs)
        if write_code := load_plugin("write_code"):
            write_code(save_directory)
        else:  # this is the code that went with a pushed model, which goes on with it
            custom_object_save(self, save_directory)

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """Pushes the model; a pipeline is no more than it. Arguments are those of the model's `push_to_hub`."""
        return self.model.push_to_hub(*args, **kwargs)

    def preprocess(  # type: ignore[override]
        self, image: Any, timeout: float | None = None, output_heatmaps: bool = False, tiles: Tiling | None = None
    ) -> Any:
        """One photo to `pixel_values` (V, 3, H, W) of its views; an error names the photo.

        With tiles go `num_views` and `whole_weights`, for heat maps `photo_size`.
        """
        if isinstance(image, dict) and not image.keys() <= UNDECODED:
            if "image" not in image:
                raise InvalidInputError(f"A dataset's rows need a column 'image', got {', '.join(map(str, image))}.")
            image = image["image"]
        assert self.image_processor is not None
        tiles, least = self._tiles(tiles), self.least_size(output_heatmaps, tiles)
        if isinstance(image, dict):
            image = _undecoded(image, least)
        if isinstance(image, os.PathLike):
            image = Path(image)
        if isinstance(image, torch.Tensor):
            tensor = image.detach().cpu()
            image = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        photo = open_input(image_of(image) if isinstance(image, np.ndarray) else image, timeout, least)
        views = [photo] if tiles == "off" else views_of(photo, plan_tiles(*photo.size, tiles))
        inputs = self.image_processor(images=views, return_tensors="pt").to(self.dtype)
        if tiles != "off":
            inputs["num_views"] = torch.tensor([len(inputs["pixel_values"])])
            inputs["whole_weights"] = torch.tensor([whole_weight(*photo.size)])
        if output_heatmaps:
            inputs["photo_size"] = torch.tensor([photo.size])
        return inputs

    def least_size(self, output_heatmaps: bool = False, tiles: Tiling | None = None) -> int | None:
        """Fewest pixels on the shorter side that JPEGs are decoded at (see `draft_size`); None for all there are.

        Heat maps have the photo's own size, so it is decoded at that.
        """
        return None if output_heatmaps else draft_size(cast(Any, self.image_processor), self._tiles(tiles))

    def _forward(self, model_inputs: Any, output_heatmaps: bool = False) -> Any:  # type: ignore[override]
        """What the model says of B photos; for heat maps, patch logits, B times (V, rows, columns, K), and sizes."""
        if not output_heatmaps:
            return super()._forward(model_inputs)
        pixels, sizes = model_inputs["pixel_values"], model_inputs["photo_size"]
        given = {name: model_inputs[name] for name in ("num_views", "whole_weights") if name in model_inputs}
        output = self.model(pixel_values=pixels, output_patch_logits=True, return_dict=True, **given)
        counts = given["num_views"].tolist() if given else 1
        return {
            "logits": output.logits,
            "patch_logits": list(output.patch_logits.unflatten(1, output.patch_grid).split(counts)),
            "photo_size": sizes,
            "pixel_size": torch.tensor([pixels.shape[-2:]] * len(sizes)),
        }

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: Any,
        function_to_apply: ClassificationFunction | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        tiles: Tiling | None = None,
    ) -> list[dict[str, Any]]:
        """Logits (1, K) of one photo to sorted labels and scores, with heat maps where there are patch logits."""
        config = cast(WordsightConfig, self.model.config)
        names = config.category_names
        logits = model_outputs["logits"][0].float().numpy()
        if function_to_apply in (None, ClassificationFunction.SIGMOID):
            scores = sigmoid(logits)
        elif function_to_apply == ClassificationFunction.SOFTMAX:
            scores = softmax(logits)
        else:
            scores = logits
        best = [
            index
            for index in np.argsort(-scores, kind="stable")[:top_k]
            if threshold is None or scores[index] >= threshold
        ]
        labels: list[dict[str, Any]] = [{"label": names[index], "score": float(scores[index])} for index in best]
        if "patch_logits" in model_outputs:
            width, height = model_outputs["photo_size"][0].tolist()
            rows, columns = model_outputs["pixel_size"][0].tolist()
            boxes = plan_tiles(width, height, self._tiles(tiles))
            seen = [seen_part(self.image_processor, box, (rows, columns)) for box in boxes]
            weight = whole_weight(width, height)
            patches = model_outputs["patch_logits"][0].float().numpy()
            for entry, index in zip(labels, best, strict=True):
                entry["heatmap"] = draw_views(patches[..., index], (width, height), (rows, columns), seen, weight)
        return labels

    def _tiles(self, asked: Tiling | None) -> Tiling:
        return cast(WordsightConfig, self.model.config).tiles if asked is None else asked


class _Rows(Dataset[Any]):
    """A `datasets` table or column as torch has datasets, so that several workers can read it (`num_workers`)."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Any:
        return self.rows[number]


def check_threshold(threshold: float) -> None:
    """Raises InvalidInputError if a score's threshold is no number between 0 and 1."""
    is_number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not is_number or not 0 <= float(threshold) <= 1:
        raise InvalidInputError(f"threshold must be between 0 and 1, got {threshold!r}.")


UNDECODED = {"bytes", "path"}  # of a photo in a column that is not decoded (`datasets.Image(decode=False)`)


def _undecoded(row: dict[str, Any], least: int | None) -> Image.Image | str:
    """A photo that `datasets` left as it is stored: its content or, where that is not kept, its path."""
    if row.get("bytes") is None:
        if row.get("path"):
            return str(row["path"])
        raise InvalidInputError("A row holds no photo: its bytes and its path are empty.")
    try:
        return decode_photo(bytes(row["bytes"]), least)
    except UNREADABLE as error:
        name = repr(row["path"]) if row.get("path") else "A photo of the dataset"
        raise InvalidInputError(f"{name} can't be read as an image ({reason_of(error)}).") from error


if INSTALLED:  # where it is not, transformers registers a pushed model's copy by its config
    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        pipeline_class=MultiLabelImageClassificationPipeline,
        pt_model=AutoModelForImageClassification,
        type="image",
    )
