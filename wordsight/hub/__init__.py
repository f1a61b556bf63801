"""The Hub: models and sentences are pushed in one commit each, and models work where wordsight is not installed.

Names are imported when they are first used, so that `--help` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import HubError
    from .push import push_checkpoint, push_model, push_texts
    from .space import push_space
    from .upload import Destination

_EXPORTS = {
    "Destination": "upload",
    "HubError": "errors",
    "push_checkpoint": "push",
    "push_model": "push",
    "push_space": "space",
    "push_texts": "push",
}

__all__ = ["Destination", "HubError", "push_checkpoint", "push_model", "push_space", "push_texts"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
