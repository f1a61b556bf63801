"""The ImageNet encoder: a sentence encoder and an image classifier that meet in the space of the classifier's classes.

Neither side was trained with the other. A text is a distribution over the 1,000 ImageNet classes, by how near it is to
their names; a photo is its positive class logits. Both are projected on the main directions of the classifier's
weights, in which classes that look alike are near each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_imagenet import ImageNetEncoderConfig
from .efficientnet_lite import EfficientNetLite


@dataclass
class ImageNetTextOutput(ModelOutput):
    """Texts in the shared space, as unit vectors.

    Args:
        text_embeds (`torch.Tensor` of shape `(N, D)`): one vector a text (mean pooling).
        token_embeds (`torch.Tensor` of shape `(N, L, D)`): one vector a token.
    """

    text_embeds: Tensor | None = None
    token_embeds: Tensor | None = None


@dataclass
class ImageNetVisionOutput(ModelOutput):
    """Photos in the shared space, as unit vectors.

    Args:
        image_embeds (`torch.Tensor` of shape `(B, D)`): one vector a photo.
        patch_embeds (`torch.Tensor` of shape `(B, P, D)`): one vector a cell of the last feature map, row by row.
        grid (`tuple[int, int]`): rows and columns of the cells.
    """

    image_embeds: Tensor | None = None
    patch_embeds: Tensor | None = None
    grid: tuple[int, int] | None = None


@dataclass
class ImageNetEncoderOutput(ModelOutput):
    """Both sides.

    Args:
        logits_per_image (`torch.Tensor` of shape `(B, N)`): cosines.
        text_embeds (`torch.Tensor` of shape `(N, D)`): see `ImageNetTextOutput`.
        image_embeds (`torch.Tensor` of shape `(B, D)`): see `ImageNetVisionOutput`.
    """

    logits_per_image: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None


class ImageNetTextTower(nn.Module):
    """Sentence encoder, then softmax over classes, then projection."""

    def __init__(self, config: ImageNetEncoderConfig) -> None:
        super().__init__()
        assert isinstance(config.text_config, BertConfig)
        self.temperature = config.text_temperature
        self.encoder = BertModel(config.text_config, add_pooling_layer=False)
        self.class_embeddings = nn.Parameter(
            torch.zeros(config.num_classes, config.text_config.hidden_size), requires_grad=False
        )
        self.class_projection = nn.Parameter(
            torch.zeros(config.num_classes, config.projection_dim), requires_grad=False
        )

    def project(self, states: Tensor) -> Tensor:
        """Sentence or token states (..., d) to unit vectors (..., D)."""
        cosines = F.normalize(states, dim=-1) @ self.class_embeddings.T
        return F.normalize((cosines / self.temperature).softmax(dim=-1) @ self.class_projection, dim=-1)

    def sentence_states(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Texts (N, L) to the sentence encoder's own states: pooled by mean (N, d), and of the tokens (N, L, d)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1), states

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> ImageNetTextOutput:
        """Texts (N, L) to unit vectors."""
        pooled, states = self.sentence_states(input_ids, attention_mask)
        return ImageNetTextOutput(text_embeds=self.project(pooled), token_embeds=self.project(states))


class ImageNetVisionTower(nn.Module):
    """Image classifier, then positive logits, then projection."""

    def __init__(self, config: ImageNetEncoderConfig) -> None:
        super().__init__()
        self.power = config.image_power
        self.encoder = EfficientNetLite(config.width_multiplier, config.depth_multiplier)
        self.classifier = nn.Linear(config.feature_dim, config.num_classes)
        self.class_projection = nn.Parameter(
            torch.zeros(config.num_classes, config.projection_dim), requires_grad=False
        )

    def project(self, features: Tensor) -> Tensor:
        """Features (..., 1280) of the photo or of a cell to unit vectors (..., D)."""
        logits = self.classifier(features)
        evidence = (logits - logits.mean(dim=-1, keepdim=True)).clamp(min=0).pow(self.power)
        return F.normalize(F.normalize(evidence, dim=-1) @ self.class_projection, dim=-1)

    def forward(self, pixel_values: Tensor) -> ImageNetVisionOutput:
        """Photos (B, 3, H, W) to unit vectors."""
        maps = self.encoder(pixel_values)
        return ImageNetVisionOutput(
            image_embeds=self.project(maps.mean(dim=(2, 3))),
            patch_embeds=self.project(maps.flatten(2).transpose(1, 2)),
            grid=(maps.shape[2], maps.shape[3]),
        )


class ImageNetEncoderPreTrainedModel(PreTrainedModel):
    """Loading and saving, as in transformers."""

    config: ImageNetEncoderConfig
    config_class = ImageNetEncoderConfig
    base_model_prefix = "imagenet_encoder"


class ImageNetTextModel(ImageNetEncoderPreTrainedModel):
    """The text half; loads from a whole checkpoint without reading the image half into memory."""

    input_modalities = ["text"]
    _keys_to_ignore_on_load_unexpected = [r"^vision_model\."]

    def __init__(self, config: ImageNetEncoderConfig) -> None:
        super().__init__(config)
        self.text_model = ImageNetTextTower(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings, at whose output soft tokens go in."""
        return self.text_model.encoder.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> ImageNetTextOutput:
        """Texts (N, L) to unit vectors (N, D) and (N, L, D)."""
        output: ImageNetTextOutput = self.text_model(input_ids, attention_mask)
        return output


class ImageNetVisionModel(ImageNetEncoderPreTrainedModel):
    """The image half; loads from a whole checkpoint without reading the text half into memory."""

    main_input_name = "pixel_values"
    input_modalities = ["image"]
    _keys_to_ignore_on_load_unexpected = [r"^text_model\."]

    def __init__(self, config: ImageNetEncoderConfig) -> None:
        super().__init__(config)
        self.vision_model = ImageNetVisionTower(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution, from pixels to features."""
        return self.vision_model.encoder._conv_stem

    def forward(self, pixel_values: Tensor) -> ImageNetVisionOutput:
        """Photos (B, 3, H, W) to unit vectors (B, D) and (B, P, D)."""
        output: ImageNetVisionOutput = self.vision_model(pixel_values)
        return output


class ImageNetEncoderModel(ImageNetEncoderPreTrainedModel):
    """Both halves: a dual encoder."""

    input_modalities = ["image", "text"]

    def __init__(self, config: ImageNetEncoderConfig) -> None:
        super().__init__(config)
        self.text_model = ImageNetTextTower(config)
        self.vision_model = ImageNetVisionTower(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.text_model.encoder.get_input_embeddings()

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Texts (N, L) to unit vectors (N, D)."""
        return self.text_model(input_ids, attention_mask).text_embeds

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Photos (B, 3, H, W) to unit vectors (B, D)."""
        return self.vision_model(pixel_values).image_embeds

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> ImageNetEncoderOutput:
        """Scores B photos against N texts."""
        texts = self.get_text_features(input_ids, attention_mask)
        images = self.get_image_features(pixel_values)
        return ImageNetEncoderOutput(logits_per_image=images @ texts.T, text_embeds=texts, image_embeds=images)
