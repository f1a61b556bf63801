"""What a Space runs: one model of the Hub, and the tab that labels photos."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from transformers import pipeline

from .labeling_tab import KEPT, LabelingTab


def space_app(model: str, revision: str, examples: Sequence[str]) -> gr.Blocks:
    """The app of a Space, not yet started; the model's own code runs.

    Args:
        model: the model's id on the Hub.
        revision: its commit: no other code than that of then is ever run.
        examples: paths of photos to try.
    """
    classifier = pipeline(  # type: ignore[call-overload]
        "multi-label-image-classification", model=model, revision=revision, trust_remote_code=True
    )
    with gr.Blocks(title=model, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as app:
        gr.Markdown(f"# {model}\nLabels for photos, [learned](https://huggingface.co/{model}) from words alone.")
        LabelingTab(lambda _: classifier, gr.State(model), urls=False, examples=examples, trust=True)
    return app
