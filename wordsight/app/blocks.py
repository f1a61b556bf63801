"""The app as a whole: three tabs, and one choice of model for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from wordsight.example_photos import example_photos
from wordsight.utils.errors import InvalidInputError

from .labeling_tab import KEPT, MAX_UPLOAD, LabelingTab
from .models import Models
from .provenance import ProvenanceTab
from .theme import theme
from .training_tab import Jobs, TrainingOptions, TrainingTab

LOOPBACK = ("127.0.0.1", "localhost")
CSS_PATH = Path(__file__).with_name("app.css")


class App(gr.Blocks):
    """Gradio's page, and the models that are being trained from it."""

    def __init__(self) -> None:
        self.jobs = Jobs()
        super().__init__(title="wordsight", analytics_enabled=False, delete_cache=(KEPT, KEPT))


def make_app(model: str, options: TrainingOptions | None = None, *, urls: bool = True) -> App:
    """The app, not yet started.

    Args:
        model: folder or Hub id of a wordsight model.
        options: how new models are trained.
        urls: whether to offer a field for a photo's URL. Set it to False where strangers can reach the app: with it,
            they could make this machine send requests into its own network.

    Raises:
        InvalidInputError: the model can't be loaded.
    """
    models = Models(model)
    with App() as app:
        gr.Markdown("# wordsight\nLabels for photos, learned from words alone.", elem_id="title")
        chosen = gr.Dropdown(
            choices=[(model, model)], value=model, label="Model", visible=False, interactive=True, elem_id="model"
        )
        with gr.Tabs(selected="label") as tabs:
            with gr.Tab("Label", id="label"):
                LabelingTab(models.get, chosen, urls=urls, examples=example_photos(), trust=False)
            with gr.Tab("About the model", id="about") as second:
                provenance = ProvenanceTab(models, chosen)
            with gr.Tab("Train", id="train"):
                TrainingTab(models, chosen, tabs, options or TrainingOptions(), app.jobs)
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        gr.on([second.select, chosen.change], provenance.show, chosen, provenance.outputs, **hidden)
    return app


def launch_app(app: App, host: str = "127.0.0.1", port: int = 7860, *, wait: bool = True) -> str:
    """Starts the app's server; trainings that run end with it.

    Args:
        app: what `make_app` gave.
        host: address to listen on; 0.0.0.0 for all of this machine's.
        port: port to listen on.
        wait: whether to return only when it is stopped (Ctrl-C).

    Returns:
        The app's address.

    Raises:
        InvalidInputError: the address and port can't be used.
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
            f"The app can't listen on {host}, port {port}: the port is in use, or not allowed. Use another --port."
        ) from error
    if wait:
        try:
            print(f"The app is running on {address} (Ctrl-C stops it).", flush=True)
            app.block_thread()
        finally:
            app.jobs.stop_all()
    return str(address)
