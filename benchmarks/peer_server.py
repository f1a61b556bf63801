"""`python -m benchmarks.peer_server FOLDER PORT`: transformers' own pipeline behind FastAPI, a photo at a time."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from transformers import pipeline

import wordsight  # noqa: F401, registers the model


def main() -> None:
    """Serves until it is stopped."""
    folder, port = sys.argv[1:]
    classifier, thread, app = pipeline("image-classification", model=folder), ThreadPoolExecutor(1), FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/")
    async def label(request: Request) -> list[dict[str, Any]]:
        content = await request.body()

        def labels() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = classifier(Image.open(BytesIO(content)), top_k=80)
            return found

        return await asyncio.get_running_loop().run_in_executor(thread, labels)

    uvicorn.run(app, port=int(port), log_level="warning")


main()
