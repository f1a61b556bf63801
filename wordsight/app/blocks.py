"""The app as a whole: three tabs, one choice of model, and how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from wordsight.example_photos import example_photos
from wordsight.utils.errors import InvalidInputError

from .labelers import Labelers
from .labeling import KEPT, MAX_UPLOAD, LabelingTab
from .looks import theme
from .made_from import MadeFromTab
from .making import Jobs, MakingOptions, MakingTab

LOOPBACK = ("127.0.0.1", "localhost")
CSS_PATH = Path(__file__).with_name("app.css")


class App(gr.Blocks):
    """Gradio's page, and the labelers that are being made from it."""

    def __init__(self) -> None:
        self.jobs = Jobs()
        super().__init__(title="wordsight", analytics_enabled=False, delete_cache=(KEPT, KEPT))


def make_app(model: str, options: MakingOptions | None = None, *, urls: bool = True) -> App:
    """The app, not yet started.

    Args:
        model: folder or Hub id of a wordsight model.
        options: how new labelers are made.
        urls: whether to offer a field for a photo's address. Leave it out where strangers can reach the app: by it
            they could have this machine ask others of its network.

    Raises:
        InvalidInputError: the model can't be loaded.
    """
    labelers = Labelers(model)
    with App() as app:
        gr.Markdown("# wordsight\nLabels for photos, learned from words alone.", elem_id="title")
        chosen = gr.Dropdown(
            choices=[(model, model)], value=model, label="Model", visible=False, interactive=True, elem_id="model"
        )
        with gr.Tabs(selected="label") as tabs:
            with gr.Tab("Label", id="label"):
                LabelingTab(labelers.get, chosen, urls=urls, examples=example_photos(), trust=False)
            with gr.Tab("Made from", id="origin") as second:
                made_from = MadeFromTab(labelers, chosen)
            with gr.Tab("Make new", id="make"):
                MakingTab(labelers, chosen, tabs, options or MakingOptions(), app.jobs)
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        gr.on([second.select, chosen.change], made_from.show, chosen, made_from.outputs, **hidden)
    return app


def launch_app(app: App, host: str = "127.0.0.1", port: int = 7860, *, wait: bool = True) -> str:
    """Starts the app's server; labelers in the making end with it.

    Args:
        app: what `make_app` gave.
        host: address to listen on; 0.0.0.0 for all of this machine's.
        port: port to listen on.
        wait: whether to return only when it is stopped (Ctrl-C).

    Returns:
        The app's address.

    Raises:
        InvalidInputError: it can't listen there.
    """
    try:
        _, address, _ = app.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            share=False,
            max_file_size=MAX_UPLOAD,
            theme=theme(),
            css_paths=CSS_PATH,
            footer_links=["api", "settings"],
        )
    except OSError as error:
        raise InvalidInputError(
            f"The app can't listen on {host}, port {port}: it is used already, or not allowed. Give another --port."
        ) from error
    if wait:
        try:
            print(f"The app runs on {address} (Ctrl-C stops it).", flush=True)
            app.block_thread()
        finally:
            app.jobs.stop_all()
    return str(address)
