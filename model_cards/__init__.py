"""Model cards."""

from .card import write_model_card

__all__ = ["write_model_card"]
