"""What labels photos: learned category embeddings beside the image half of a frozen encoder.

This is all that goes along with a pushed model. What needs the text half (training, new embeddings) is in
`modeling_wordsight.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.hub import resolve_revision

from wordsight.utils.errors import InvalidInputError

from .checks import check_encoder, check_safetensors, check_tensors, whole_weights
from .configuration_wordsight import WordsightConfig
from .encoders.base import ImageEncoder
from .encoders.loading import load_image_encoder
from .prompts import HierarchicalPrompts
from .scoring import (
    combine_views,
    global_logits,
    local_logits,
    mix_branches,
    mix_classifier,
    position_logits,
    ranking_loss,
)
from .sentence_memory import pull
from .standardization import ScoreStatistics, standardize_scores

# Of several photos' views go through the encoder at once at least so many, or as many as there are photos.
VIEWS_AT_ONCE = 32
# What a classifier of photos counts beside the scores of both branches.
PHOTO_CLASSIFIER_WEIGHT = 0.3
# Keywords of `from_pretrained` that hold for the encoder as well.
HUB_KEYWORDS = ("token", "cache_dir", "local_files_only", "force_download")


@dataclass
class WordsightOutput(ModelOutput):
    """What the model says of B photos, or of B sentences in place of photos.

    Args:
        loss (`torch.Tensor` of shape `()`, returned when `labels` are given): the ranking loss of both branches.
        logits (`torch.Tensor` of shape `(B, K)`): calibrated logits; their sigmoid is each category's probability, 0.5
            at its threshold.
        similarities (`torch.Tensor` of shape `(B, K)`): both branches, weighted by `config.local_weight`, after score
            standardization and before calibration.
        global_logits (`torch.Tensor` of shape `(B, K)`): from the pooled embedding, of the whole photo.
        local_logits (`torch.Tensor` of shape `(B, K)`): from the patch embeddings, of the whole photo.
        patch_logits (`torch.Tensor` of shape `(B, P, K)`, returned when asked for): the local branch at each patch.
        patch_grid (`tuple[int, int]`, returned when asked for): rows and columns of the P patches.

    Example:
        >>> import torch
        >>> from wordsight import WordsightForMultiLabelImageClassification
        >>> model = WordsightForMultiLabelImageClassification.from_pretrained("my-model")
        >>> output = model(torch.zeros(2, 3, 224, 224), output_patch_logits=True)
        >>> output.logits.shape == (2, len(model.config.id2label))
        True
        >>> output.patch_grid
        (7, 7)
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    similarities: Tensor | None = None
    global_logits: Tensor | None = None
    local_logits: Tensor | None = None
    patch_logits: Tensor | None = None
    patch_grid: tuple[int, int] | None = None


class WordsightInferenceModel(PreTrainedModel):
    """Labels photos with learned hierarchical prompts (arXiv 2403.01209) for a frozen CLIP-like encoder.

    A checkpoint holds the prompts, the category embeddings computed from them and the image processor, but not the
    encoder, which `from_pretrained` loads by the name in the config. Labeling photos takes the image half alone.

    Args:
        config: the configuration.
        image_encoder: the encoder's image half; `from_pretrained` sets it.
    """

    config: WordsightConfig
    config_class = WordsightConfig
    base_model_prefix = "wordsight"
    main_input_name = "pixel_values"
    input_modalities = ["image"]
    global_embeddings: Tensor
    local_embeddings: Tensor
    # There only where the configuration says so (see `_make_room`).
    compound_embeddings: Tensor
    score_mean: Tensor
    score_std: Tensor
    compound_mean: Tensor
    compound_std: Tensor
    fusion_weights: Tensor
    memory: Tensor
    photo_weight: Tensor
    photo_bias: Tensor
    photo_fitted: Tensor
    # The commit on the Hub that `from_pretrained` loaded.
    revision: str | None = None

    def __init__(self, config: WordsightConfig, image_encoder: ImageEncoder | None = None) -> None:
        super().__init__(config)
        self.prompts = HierarchicalPrompts(config)
        shape = (len(config.category_names), config.projection_dim)
        self.register_buffer("global_embeddings", torch.zeros(shape))
        self.register_buffer("local_embeddings", torch.zeros(shape))
        self._make_room()
        self.post_init()
        self.image_encoder = image_encoder

    def _make_room(self) -> None:
        """Room for the compound prompts' embeddings, sentences and what photos say of scores, where there are any."""
        categories, compounds = len(self.config.category_names), len(self.config.compounds or ())
        shapes: dict[str, tuple[int, ...]] = {}
        if compounds:
            shapes["compound_embeddings"] = (compounds, self.config.projection_dim)
        if self.config.calibration_photos:
            longest = max(map(len, self.config.compound_members()))
            shapes |= {"score_mean": (categories,), "score_std": (categories,)}
            shapes |= {"fusion_weights": (categories, longest + 1)}
            if compounds:
                shapes |= {"compound_mean": (compounds,), "compound_std": (compounds,)}
        if self.config.memory_size:
            shapes["memory"] = (self.config.memory_size, self.config.projection_dim)
        if self.config.photo_classifier_weight:
            shapes |= {"photo_weight": (categories, self.config.projection_dim)}
            shapes |= {"photo_bias": (categories,), "photo_fitted": (categories,)}
        for name in shapes.keys() - dict(self.named_buffers()).keys():
            self.register_buffer(name, torch.zeros(shapes[name], device=self.global_embeddings.device))

    def _init_weights(self, module: nn.Module) -> None:
        """Leaves the zeros: prompts are drawn by `PromptTokens.initialize`, from the encoder's vocabulary."""

    # Transformers looks at the first parameter, and a model without prompts has none.
    @property
    def dtype(self) -> torch.dtype:
        """The type of the category embeddings, in which photos are scored."""
        return self.global_embeddings.dtype

    @property
    def device(self) -> torch.device:
        """Where the category embeddings are."""
        return self.global_embeddings.device

    def get_input_embeddings(self) -> nn.Module:
        """The image encoder's first layer, from pixels to patches."""
        return self._encoder().get_input_embeddings()

    def _encoder(self) -> ImageEncoder:
        if self.image_encoder is None:
            raise RuntimeError(
                "This model has no image encoder yet. Load it with from_pretrained, or set "
                "model.image_encoder = load_image_encoder(model.config.encoder)."
            )
        return self.image_encoder

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        image_encoder: ImageEncoder | Literal[False] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Loads a checkpoint and the image half of the encoder that its config names.

        Args:
            pretrained_model_name_or_path: Hub id or folder.
            args: passed on to transformers.
            image_encoder: an encoder that is loaded already, to be used instead; False to load none.
            kwargs: as for transformers' `from_pretrained`; `token`, `cache_dir` and `local_files_only` hold for the
                encoder as well, which takes the model's dtype and device.

        Raises:
            InvalidInputError: the checkpoint is damaged, no safetensors or of a newer format, or its encoder can't be
                loaded or is named by a path where it may not be.
            OSError: the checkpoint can't be found.
        """
        source = os.fspath(pretrained_model_name_or_path)
        if kwargs.get("use_safetensors") is False:
            raise InvalidInputError("use_safetensors=False is not possible: wordsight opens no pickles.")
        if not Path(source).is_dir():
            shared = {key: kwargs[key] for key in HUB_KEYWORDS[:3] if kwargs.get(key) is not None}
            revision = resolve_revision(source, kwargs.get("revision"), **shared)
            # The commit itself: all files are of one state, and no bot is asked to convert a pickle on "main".
            kwargs["revision"] = getattr(revision, "resolved", revision) or "main"
        wants_report = kwargs.pop("output_loading_info", False)
        ignores_shapes = kwargs.pop("ignore_mismatched_sizes", False)
        kwargs |= {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            with whole_weights(source):
                loaded: Any = super().from_pretrained(source, *args, **kwargs)
        except OSError as error:
            check_safetensors(source, error)
            raise
        model, report = loaded
        if Path(source).is_dir():
            model.config.name_or_path = str(Path(source).resolve())
        else:
            model.revision = kwargs["revision"]
        model.config.encoder = check_encoder(model.config.encoder, source)
        check_tensors(model, report | ({"mismatched_keys": ()} if ignores_shapes else {}), source)
        if image_encoder is None:
            image_encoder = load_image_encoder(
                model.config.encoder,
                dtype=model.dtype,
                **model.config.image_encoder_settings | {key: kwargs.get(key) for key in HUB_KEYWORDS},
            )
        model.image_encoder = image_encoder.to(model.device) if image_encoder else None
        return loaded if wants_report else model

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """Writes prompts, category embeddings, config and image processor; never the encoder.

        Args:
            save_directory: the folder, made if need be.
            kwargs: as for transformers' `save_pretrained`; with `push_to_hub=True`, those of `push_to_hub` as well.
        """
        push, repo_id = kwargs.pop("push_to_hub", False), kwargs.pop("repo_id", Path(save_directory).name)
        names = ("commit_message", "commit_description", "private", "token", "revision", "create_pr", "tags")
        push_kwargs = {key: kwargs.pop(key) for key in names if key in kwargs} if push else {}
        state = kwargs.pop("state_dict", None) or self.state_dict()
        learned = {key: value for key, value in state.items() if not key.startswith("image_encoder.")}
        super().save_pretrained(save_directory, state_dict=learned, **kwargs)
        if self.image_encoder is not None:
            self.image_encoder.image_processor.save_pretrained(save_directory)
        if push:
            self.push_to_hub(repo_id, **push_kwargs)

    def branch_logits(self, pooled: Tensor, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of photos before any score standardization; a classifier of photos, if there is one, is mixed in.

        Args:
            pooled: (B, D), unit vectors.
            patches: (B, P, D), unit vectors.

        Returns:
            Global logits (B, K), local logits (B, K), and logits of the compound prompts (B, number of compounds).
        """
        config = self.config
        # Embeddings were saved as unit vectors; a half-precision copy of them may be off by a rounding.
        global_categories = F.normalize(self.global_embeddings, dim=-1)
        local_categories = F.normalize(self.local_embeddings, dim=-1)
        compounds = F.normalize(self.compound_embeddings, dim=-1) if config.compounds else global_categories[:0]
        told = self.told_in_sentences(pooled)
        in_global = global_logits(told, global_categories, config.logit_scale)
        patches = self.told_in_sentences(patches)
        in_local = local_logits(patches, local_categories, config.logit_scale, config.local_temperature_image)
        if config.photo_classifier_weight:
            share = config.photo_classifier_weight * self.photo_fitted
            found = (pooled, self.photo_weight, self.photo_bias, share)
            in_global, in_local = (mix_classifier(scores, *found) for scores in (in_global, in_local))
        return in_global, in_local, global_logits(told, compounds, config.logit_scale)

    def told_in_sentences(self, features: Tensor) -> Tensor:
        """Features (..., D) of photos or patches, pulled towards the memory's sentences where the model has any."""
        if not self.config.memory_size:
            return features
        # Saved as unit vectors; see `branch_logits`.
        return pull(features, F.normalize(self.memory, dim=-1), self.config.memory_weight)

    @torch.no_grad()
    def set_memory(self, memory: Tensor) -> None:
        """Keeps sentence features (M, D), unit vectors, in the checkpoint; photos are pulled towards them.

        How far is `config.memory_weight`.
        """
        self.config.memory_size = len(memory)
        self._buffers.pop("memory", None)
        self._make_room()
        self.memory.copy_(memory)

    @torch.no_grad()
    def set_photo_classifier(
        self, classifier: tuple[Tensor, Tensor, Tensor] | None, share: float = PHOTO_CLASSIFIER_WEIGHT
    ) -> None:
        """Keeps a classifier of photos in the checkpoint, or takes it out.

        Args:
            classifier: weight (K, D), bias (K,), and 1 (K,) where the category has one; None for no classifier.
            share: what it counts beside the scores of both branches, above 0.
        """
        names = ("photo_weight", "photo_bias", "photo_fitted")
        if classifier is None:
            self.config.photo_classifier_weight = 0.0
            for name in names:
                self._buffers.pop(name, None)
            return
        self.config.photo_classifier_weight = share
        self._make_room()
        for name, values in zip(names, classifier, strict=True):
            getattr(self, name).copy_(values)

    @property
    def score_statistics(self) -> ScoreStatistics | None:
        """What `wordsight calibrate` found on unlabeled photos, if it was run."""
        if not self.config.calibration_photos:
            return None
        nothing = self.score_mean[:0]
        return ScoreStatistics(
            self.score_mean,
            self.score_std,
            self.compound_mean if self.config.compounds else nothing,
            self.compound_std if self.config.compounds else nothing,
            self.fusion_weights,
        )

    @torch.no_grad()
    def set_score_statistics(self, statistics: ScoreStatistics, photos: int) -> None:
        """Keeps statistics of so many photos in the checkpoint."""
        self.config.calibration_photos = photos
        self._make_room()
        for name in ("mean", "std"):
            getattr(self, f"score_{name}").copy_(getattr(statistics, name))
            if self.config.compounds:
                getattr(self, f"compound_{name}").copy_(getattr(statistics, f"compound_{name}"))
        self.fusion_weights.copy_(statistics.fusion_weights)

    def calibrated(self, similarities: Tensor) -> Tensor:
        """Logits whose sigmoid is a probability: a_i * (z_i - t_i), fitted per category (Platt scaling, 1999).

        Args:
            similarities: (B, K), z.

        Returns:
            (B, K) float32, whatever the model's type: thresholds of half precision would be off.
        """
        scale, threshold = (
            torch.tensor(values, dtype=torch.float32, device=similarities.device)
            for values in (self.config.score_scale, self.config.score_threshold)
        )
        return scale * (similarities.float() - threshold)

    def set_calibration(self, scale: Iterable[float], threshold: Iterable[float]) -> None:
        """Sets the scale a_i and the threshold t_i of each of the K categories (see `calibrated`)."""
        self.config.score_scale = [float(value) for value in scale]
        self.config.score_threshold = [float(value) for value in threshold]
        self.config.validate()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_patch_logits: bool = False,
        return_dict: bool | None = None,
        num_views: Tensor | None = None,
        whole_weights: Tensor | None = None,
    ) -> WordsightOutput | tuple[Any, ...]:
        """Scores photos for all categories.

        Args:
            pixel_values: (B, 3, H, W), from the image processor.
            labels: (B, K), 1 where a category is present; asks for the loss.
            output_patch_logits: whether to return the local branch at each patch as well.
            return_dict: False returns a plain tuple, as everywhere in transformers.
            num_views: (B,), for photos with tiles: how many of the V `pixel_values` are of each photo, the whole first
                (see `plan_tiles`). Logits are the photos', (B, K); patch logits are the views', (V, P, K).
            whole_weights: (B,), what the whole counts beside its tiles (see `whole_weight`); goes with `num_views`.

        Raises:
            RuntimeError: the model has no image encoder (it was not made by `from_pretrained` or `from_encoder`).
            ValueError: `pixel_values` is missing.
        """
        self._encoder()
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values.")
        at_once = len(pixel_values) if num_views is None else max(len(num_views), VIEWS_AT_ONCE)
        grid, parts = None, []
        for views in pixel_values.split(max(at_once, 1)):
            branches, at_patches, grid = self._view_logits(views, output_patch_logits)
            parts.append((*branches, at_patches))
        in_global, in_local, of_compounds, patch_logits = map(torch.cat, zip(*parts, strict=True))
        output = self.score_views(in_global, in_local, of_compounds, labels, None, num_views, whole_weights)
        if output_patch_logits:
            output.patch_logits, output.patch_grid = patch_logits, grid
        return self._returned(output, return_dict)

    def view_logits(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`branch_logits` of photos, or of their views, (V, 3, H, W)."""
        return self._view_logits(pixel_values, with_patches=False)[0]

    def _view_logits(
        self, pixel_values: Tensor, with_patches: bool
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, tuple[int, int]]:
        """`branch_logits` of views (V, 3, H, W), the local branch at each patch (V, P, K) or nothing, and the grid."""
        image = self._encoder()(pixel_values)
        patches = image.patches.to(self.dtype)
        categories = F.normalize(self.local_embeddings, dim=-1)
        shown = self.told_in_sentences(patches if with_patches else patches[:0])
        at_patches = position_logits(shown, categories, self.config.logit_scale)
        return self.branch_logits(image.pooled.to(self.dtype), patches), at_patches, image.grid

    def score_views(
        self,
        scores_global: Tensor,
        scores_local: Tensor,
        compound_scores: Tensor,
        labels: Tensor | None,
        num_items_in_batch: Tensor | int | None = None,
        num_views: Tensor | None = None,
        whole_weights: Tensor | None = None,
    ) -> WordsightOutput:
        """From `branch_logits` to the output.

        Args:
            scores_global: (B, K), or (V, K) of photos' views.
            scores_local: the same of the local branch.
            compound_scores: (B, P) or (V, P).
            labels: (B, K), 1 where a category is present; asks for the loss.
            num_items_in_batch: what the sum of the losses is divided by; B by default.
            num_views: (B,), how many views are each photo's.
            whole_weights: (B,), what the whole counts beside its tiles.
        """
        config = self.config
        # K x P comparisons of names: not in each forward of a model that fuses nothing.
        members = config.compound_members() if config.score_standardization == "sparc" else []
        mixed = mix_branches(scores_global, scores_local, config.local_weight)
        if num_views is not None:
            assert whole_weights is not None
            views, weights = num_views.tolist(), whole_weights.tolist()
            whole = num_views.cumsum(0) - num_views
            compound_scores = combine_views(compound_scores, views, weights, reference=mixed)
            mixed = combine_views(mixed, views, weights)
            scores_global, scores_local = scores_global[whole], scores_local[whole]
        similarities = standardize_scores(
            config.score_standardization, mixed, compound_scores, members, self.score_statistics
        )
        loss = None
        if labels is not None:
            of_global, of_local = (ranking_loss(s, labels, config.margin, "sum") for s in (scores_global, scores_local))
            count = max(len(labels), 1) if num_items_in_batch is None else num_items_in_batch
            loss = (of_global + of_local) / count
        return WordsightOutput(
            loss=loss,
            logits=self.calibrated(similarities),
            similarities=similarities,
            global_logits=scores_global,
            local_logits=scores_local,
        )

    def _returned(self, output: WordsightOutput, return_dict: bool | None) -> WordsightOutput | tuple[Any, ...]:
        keep_dict = self.config.return_dict if return_dict is None else return_dict
        return output if keep_dict else output.to_tuple()
