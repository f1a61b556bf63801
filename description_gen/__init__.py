"""Sentences in place of photos: a language model writes about categories, and what it mentions becomes the labels.

Names are imported when they are first used, so that the package itself is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .categories import Category, as_categories, check_categories, read_categories
    from .dataset import Knowledge, label_texts, load_texts
    from .generate import generate_texts
    from .labeling import SentenceLabeler
    from .llm.language_model import language_model
    from .llm.server import LLMServer, LLMServerError
    from .summary import TextsSummary, texts_summary

_EXPORTS = {
    "Category": "categories",
    "Knowledge": "dataset",
    "LLMServer": "llm.server",
    "LLMServerError": "llm.server",
    "SentenceLabeler": "labeling",
    "TextsSummary": "summary",
    "as_categories": "categories",
    "check_categories": "categories",
    "generate_texts": "generate",
    "label_texts": "dataset",
    "language_model": "llm.language_model",
    "load_texts": "dataset",
    "read_categories": "categories",
    "texts_summary": "summary",
}

__all__ = [
    "Category",
    "Knowledge",
    "LLMServer",
    "LLMServerError",
    "SentenceLabeler",
    "TextsSummary",
    "as_categories",
    "check_categories",
    "generate_texts",
    "label_texts",
    "language_model",
    "load_texts",
    "read_categories",
    "texts_summary",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
