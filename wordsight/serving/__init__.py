"""`wordsight serve`: a model behind HTTP, with the Hub's inference protocol for image classification.

Names are imported when they are first used: FastAPI, uvicorn and prometheus_client are optional packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import make_app
    from .options import ServingOptions
    from .server import serve

_EXPORTS = {"ServingOptions": "options", "make_app": "app", "serve": "server"}

__all__ = ["ServingOptions", "make_app", "serve"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
