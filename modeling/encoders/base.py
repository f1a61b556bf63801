"""The small interface that every encoder family implements: text with soft tokens in, pixels in, unit vectors out."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from .photo_size import resized_processor

if TYPE_CHECKING:
    from ..prompt_layout import PromptChunk

# Where patch embeddings come from (see `WordsightConfig`).
PatchEmbeddings: TypeAlias = Literal["value", "correlative", "plain"]


@dataclass(frozen=True)
class TextEmbeddings:
    """What a text encoder says of N texts of at most L tokens, projected to D dimensions and L2-normalized.

    Attributes:
        pooled: (N, D), one vector a text.
        tokens: (N, L, D), one vector a token; padding positions hold no meaning.
        mask: (N, L) bool, True at real tokens.
    """

    pooled: Tensor
    tokens: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ImageEmbeddings:
    """What an image encoder says of B images, projected to D dimensions and L2-normalized.

    Attributes:
        pooled: (B, D), one vector an image.
        patches: (B, P, D), one vector a patch, row by row.
        grid: (rows, columns) of the patches, P = rows * columns.
    """

    pooled: Tensor
    patches: Tensor
    grid: tuple[int, int]


@contextmanager
def soft_tokens_at(embedding: nn.Module, positions: Tensor, soft_tokens: Tensor) -> Iterator[None]:
    """Puts learned vectors in place of the input-embedding layer's output while the context is open.

    Everything behind the layer (positional embeddings, attention, pooling by EOS or by mean) works untouched, whatever
    the model, since `input_ids` keep their length, their EOS and their padding.

    Args:
        embedding: the model's input-embedding layer, ids (N, L) -> (N, L, d).
        positions: (N, L) bool, True at the placeholders; the same number M in each row.
        soft_tokens: (N, M, d), in the order of the placeholders.
    """

    def replace(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # masked_scatter fills True positions in row-major order, which is the order of soft_tokens' rows.
        return output.masked_scatter(positions.unsqueeze(-1), soft_tokens.to(output.dtype))

    handle = embedding.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


class TextEncoder(nn.Module, ABC):
    """The text half of an image-text encoder, frozen.

    Args:
        model: the transformers model that holds the text tower and its projection.
        tokenizer: its tokenizer.
        max_length: the most tokens a text may have, special tokens included.
        pad_to_max_length: whether the model was trained with all texts padded to that length, and must see them so.
    """

    # How category embeddings are finished unless the configuration says otherwise (see `CategoryEmbedder`): encoders
    # whose halves were trained together need neither.
    embedding_defaults: ClassVar[dict[str, Any]] = {"prior_weight": 0.0, "mean_shift": False}
    # How new models look at photos and score them unless the configuration says otherwise. What a crop throws away is
    # labels; and how high all of a photo's cosines are says less of what it shows than how they compare (SPARC, arXiv
    # 2502.16911, section 2.2).
    photo_defaults: ClassVar[dict[str, Any]] = {"whole_photo": True, "score_standardization": "images"}

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        pad_to_max_length: bool = False,
    ) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.tokenizer.padding_side = "right"  # soft tokens' positions count from the left
        self.max_length = max_length
        self.pad_to_max_length = pad_to_max_length

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: a frozen encoder's dropout is off and its BatchNorm statistics never move."""
        return super().train(False)

    @property
    def embedding(self) -> nn.Embedding:
        """The input-embedding layer, whose width is the width d of soft tokens."""
        layer = self.model.get_input_embeddings()
        assert isinstance(layer, nn.Embedding)
        return layer

    @property
    def width(self) -> int:
        """The width d of the input embeddings."""
        return self.embedding.embedding_dim

    @property
    def projection_dim(self) -> int:
        """The width D of the space that texts and images share."""
        one = torch.ones(1, 2, dtype=torch.long, device=next(self.parameters()).device)
        with torch.no_grad():
            return self.pool_texts(one, one).shape[-1]

    @abstractmethod
    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> TextEmbeddings:
        """Texts (N, L) as unit vectors; what a family implements."""

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What `encode` gives as pooled (N, D); families skip the work for tokens."""
        return self.encode(input_ids, attention_mask).pooled

    def pool_texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Pooled embeddings (N, D) of texts (N, L), as those of `forward`."""
        return self.pool(*self._padded(input_ids, attention_mask))

    def encode_prompts(self, prompts: PromptChunk, soft_tokens: Tensor) -> Tensor:
        """Prompts with their soft tokens (N, M, d) as unit vectors (N, D), with gradient."""
        device = soft_tokens.device
        input_ids, attention_mask = self._padded(prompts.input_ids.to(device), prompts.attention_mask.to(device))
        missing = input_ids.shape[1] - prompts.soft_positions.shape[1]
        with soft_tokens_at(self.embedding, F.pad(prompts.soft_positions.to(device), (0, missing)), soft_tokens):
            return self.pool(input_ids, attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> TextEmbeddings:
        """Encodes texts.

        Args:
            input_ids: (N, L).
            attention_mask: (N, L), 1 at real tokens.

        Returns:
            The embeddings; L is `max_length` where the model needs texts padded to it.
        """
        return self.encode(*self._padded(input_ids, attention_mask))

    def _padded(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and mask (N, L), padded to `max_length` where the model needs it."""
        if not self.pad_to_max_length:
            return input_ids, attention_mask
        missing = (0, self.max_length - input_ids.shape[1])
        return F.pad(input_ids, missing, value=self.tokenizer.pad_token_id), F.pad(attention_mask, missing)


class ImageEncoder(nn.Module, ABC):
    """The image half of an image-text encoder, frozen.

    Args:
        model: the transformers model that holds the image tower and its projection.
        image_processor: what turns photos into its `pixel_values`.
    """

    # Where patch embeddings come from; None where there is nothing to choose.
    patch_embeddings: PatchEmbeddings | None = None

    def __init__(self, model: PreTrainedModel, image_processor: BaseImageProcessor) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.image_processor = self._own_processor = image_processor

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: a frozen encoder's dropout is off and its BatchNorm statistics never move."""
        return super().train(False)

    @property
    def patch_size(self) -> int | None:
        """Side of a patch, of which that of a photo must be a multiple; None if photos can have one size alone."""
        return None

    def set_photo_size(self, image_size: int | None, whole_photo: bool) -> None:
        """Makes the image processor bring photos to another size, or take the whole of them.

        Args:
            image_size: side of the square that photos become, in pixels; None for the encoder's own.
            whole_photo: whether the whole photo becomes that square, and not the middle of it alone.

        Raises:
            InvalidInputError: `image_size` is none that the encoder can take.
        """
        self.image_processor = resized_processor(self._own_processor, image_size, whole_photo, self.patch_size)

    @property
    def crops(self) -> bool:
        """Whether the encoder's own image processor cuts out the middle of photos."""
        return bool(getattr(self._own_processor, "do_center_crop", False))

    def with_settings(
        self, patch_embeddings: PatchEmbeddings, image_size: int | None = None, whole_photo: bool = False
    ) -> Self:
        """The encoder with other settings, as `load_image_encoder` takes them; both share their weights."""
        other = copy.copy(self)
        if other.patch_embeddings is not None:
            other.patch_embeddings = patch_embeddings
        other.set_photo_size(image_size, whole_photo)
        return other

    def get_input_embeddings(self) -> nn.Module:
        """The first layer, from pixels to patches."""
        return self.model.get_input_embeddings()

    @abstractmethod
    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors; what a family implements."""

    @torch.no_grad()
    def forward(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Encodes images (B, 3, H, W); nothing is learned on this side, so no gradient is kept."""
        return self.encode(pixel_values.to(self.model.dtype))


def split_loading_kwargs(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parts `from_pretrained` keywords into those for models only (dtype) and those for any file of a repository."""
    model_kwargs = {key: value for key, value in kwargs.items() if key in {"dtype"}}
    return model_kwargs, {key: value for key, value in kwargs.items() if key not in model_kwargs}
