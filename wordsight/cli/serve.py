"""`wordsight serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from wordsight.utils.errors import InvalidInputError, MissingDependencyError
from wordsight.utils.progress import load_libraries

API_KEY = "WORDSIGHT_API_KEY"


def serve(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    batch_size: Annotated[int, typer.Option(help="Most photos that the model takes at once.", min=1)] = 8,
    max_wait_ms: Annotated[float, typer.Option(help="How long a photo waits for others to fill a batch.", min=0)] = 5,
    device: Annotated[str | None, typer.Option(help="As PyTorch names it: cpu, cuda, cuda:1, mps.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    revision: Annotated[str | None, typer.Option(help="The model's revision on the Hub.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, each with a model of its own.", min=1)] = 1,
    max_queue: Annotated[int, typer.Option(help="Most photos under way in a process; more get 503.", min=1)] = 256,
    max_body_mb: Annotated[float, typer.Option(help="Most megabytes of a request.", min=0.001)] = 20,
    max_megapixels: Annotated[float, typer.Option(help="Most millions of pixels of a photo.", min=0.001, max=178)] = 89,
    timeout: Annotated[float, typer.Option(help="Seconds in which a request is answered, or refused.", min=0.1)] = 30,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch photos by URL, from public addresses only.")
    ] = False,
    api_key: Annotated[str | None, typer.Option(help="What clients must send as their token.", envvar=API_KEY)] = None,
) -> None:
    """Serve a model over HTTP, as the Hub's inference API does for image classification.

    huggingface_hub.InferenceClient("http://127.0.0.1:8000").image_classification("photo.jpg") labels a photo. Requests
    of all clients are batched together. /docs shows what can be sent, /metrics is for Prometheus, and Ctrl-C or SIGTERM
    stops it once what is in flight is answered.

    Example: wordsight serve my-model --port 8080 --batch-size 16

    Example: WORDSIGHT_API_KEY=secret wordsight serve user/my-model --host 0.0.0.0 --device cuda --dtype bfloat16
    """
    if api_key is None and API_KEY in os.environ:
        raise InvalidInputError(f"{API_KEY} is empty. Set it to the key that clients must send, or unset it.")
    load_libraries()
    try:
        from wordsight.serving import ServingOptions
        from wordsight.serving import serve as serve_model
        from wordsight.serving.server import Served
    except ImportError as error:
        if error.name not in {"fastapi", "prometheus_client", "uvicorn"}:
            raise
        raise MissingDependencyError("Serving needs FastAPI. Run `pip install 'wordsight[serve]'`.") from error
    options = ServingOptions(
        batch_size, max_wait_ms, max_queue, max_body_mb, max_megapixels, timeout, allow_urls, api_key
    )
    serve_model(Served(model, revision, device, dtype, options), host, port, workers)
