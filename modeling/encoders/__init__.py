"""Image-text encoders: one file a family, one function to load the half that is needed."""

from .base import ImageEmbeddings, ImageEncoder, TextEmbeddings, TextEncoder
from .loading import load_image_encoder
from .text_loading import load_text_encoder

__all__ = [
    "ImageEmbeddings",
    "ImageEncoder",
    "TextEmbeddings",
    "TextEncoder",
    "load_image_encoder",
    "load_text_encoder",
]
