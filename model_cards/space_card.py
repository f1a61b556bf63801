"""The card of a Space that shows a model."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import RepoCard, SpaceCardData

from wordsight.utils.errors import shortened

from .rendering import cell, render_card


def render_space_card(repo_id: str, model: str, category_names: Sequence[str], gradio_version: str) -> str:
    """The card, signed (see `edits.py`); its metadata tells the Hub how to run the Space.

    Args:
        repo_id: the Space's id on the Hub.
        model: the model's id on the Hub.
        category_names: what the model recognizes.
        gradio_version: of Gradio, which runs the Space.
    """
    name = repo_id.split("/")[-1]
    data = SpaceCardData(
        title=name,
        sdk="gradio",
        sdk_version=gradio_version,
        app_file="app.py",
        pinned=False,
        models=[model],
        tags=["wordsight", "multi-label-image-classification"],
        colorFrom="indigo",
        colorTo="yellow",
    )
    return render_card(
        RepoCard,
        data,
        "space_template.md",
        name=name,
        model=model,
        categories=cell(shortened(category_names, 12)),
    )
