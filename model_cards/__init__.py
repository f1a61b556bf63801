"""Cards: what a model or a dataset of sentences is, told to others."""

from .card import render_model_card, write_model_card
from .space_card import render_space_card
from .texts_card import render_texts_card

__all__ = ["render_model_card", "render_space_card", "render_texts_card", "write_model_card"]
