"""How the app looks."""

from __future__ import annotations

import gradio as gr


def theme() -> gr.themes.Base:
    """Gradio's own, with the system's fonts: nothing is asked of other machines."""
    return gr.themes.Soft(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
