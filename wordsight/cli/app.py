"""`wordsight app`."""

from __future__ import annotations

from typing import Annotated

import typer

from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER
from wordsight.utils.errors import MissingDependencyError


def app(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 7860,
    encoder: Annotated[str, typer.Option(help="Encoder of new models: Hub id, path, or 'imagenet'.")] = DEFAULT_ENCODER,
    llm: Annotated[
        str | None, typer.Option(help="Language model for new models, as in describe --llm; by default qwen2.5-0.5b.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="URL of a running language model server, with its key in WORDSIGHT_API_KEY.")
    ] = None,
) -> None:
    """Label photos in a browser, see how the model was trained, and train new ones.

    With --host 0.0.0.0 everybody in your network can use it. There is no field for a photo's URL then.

    Example: wordsight app my-model

    Example: wordsight app user/my-model --port 8080 --llm Qwen/Qwen3-8B --encoder openai/clip-vit-base-patch16
    """
    try:
        from wordsight.app import TrainingOptions, launch_app, make_app
        from wordsight.app.blocks import LOOPBACK
    except ImportError as error:
        if error.name != "gradio":
            raise
        raise MissingDependencyError("The app needs Gradio. Run `pip install 'wordsight[app]'`.") from error
    launch_app(make_app(model, TrainingOptions(encoder, llm, base_url), urls=host in LOOPBACK), host, port)
