"""`wordsight app`: label photos, see how a model was trained, and train a new one, in a browser.

Names are imported when they are first used: Gradio is an optional package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocks import launch_app, make_app
    from .training_tab import TrainingOptions

_EXPORTS = {"TrainingOptions": "training_tab", "launch_app": "blocks", "make_app": "blocks"}

__all__ = ["TrainingOptions", "launch_app", "make_app"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
