"""Configuration of the ImageNet encoder."""

# No postponed annotations here: @strict checks the types of fields only when they are real types.
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import BertConfig, PreTrainedConfig


@strict
class ImageNetEncoderConfig(PreTrainedConfig):
    """An image-text encoder whose two sides meet in the space of ImageNet's classes.

    Args:
        text_config: the sentence encoder (a BERT).
        num_classes: classes of the image classifier that anchors both sides.
        feature_dim: width of the classifier's input.
        projection_dim: width D of the shared space.
        text_temperature: temperature of the softmax over classes on the text side; in cosines.
        image_power: exponent on the positive, centered class logits on the image side.
        width_multiplier: factor of the image classifier's channels beside EfficientNet-Lite0.
        depth_multiplier: factor of its blocks.
        provenance: packages and versions the weights come from.
    """

    model_type = "wordsight-offline"
    sub_configs = {"text_config": BertConfig}

    text_config: dict[str, Any] | BertConfig | None = None
    num_classes: int = 1000
    feature_dim: int = 1280
    projection_dim: int = 256
    text_temperature: float = 0.1
    image_power: float = 2.0
    width_multiplier: float | int = 1.0
    depth_multiplier: float | int = 1.0
    provenance: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Makes the sentence encoder's configuration of what was given."""
        if not isinstance(self.text_config, BertConfig):
            self.text_config = BertConfig(**(self.text_config or {}))
        super().__post_init__(**kwargs)
