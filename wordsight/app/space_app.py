"""What a Space runs: one model of the Hub, and the tab that labels photos."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from transformers import pipeline

from .labelling import LabellingTab


def space_app(model: str, examples: Sequence[str]) -> gr.Blocks:
    """The app of a Space, not yet started; the model's own code runs.

    Args:
        model: the model's id on the Hub.
        examples: paths of photos to try.
    """
    labeller = pipeline("multi-label-image-classification", model=model, trust_remote_code=True)  # type: ignore[call-overload]
    with gr.Blocks(title=model, analytics_enabled=False, delete_cache=(3600, 3600)) as app:
        gr.Markdown(f"# {model}\nLabels for photos, [learned](https://huggingface.co/{model}) from words alone.")
        LabellingTab(lambda _: labeller, gr.State(model), urls=False, examples=examples, trust=True)
    return app
