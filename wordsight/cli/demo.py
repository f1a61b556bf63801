"""`wordsight demo`: the main job from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wordsight.utils.progress import load_libraries

from .options import check_out_folder


def demo(
    out: Annotated[Path, typer.Option(help="Folder for sentences, model and labels.")] = Path("demo-output"),
    sentences: Annotated[int, typer.Option(help="Usable sentences to write.", min=2)] = 800,
) -> None:
    """The main job from end to end, with nothing but what PyPI packages ship.

    Qwen2.5-Coder-0.5B on a local vLLM describes 20 everyday categories, prompts are learned for the ImageNet encoder,
    and six photos that scikit-image and scikit-learn ship are labeled. A second run reuses what is there.

    Example: wordsight demo --out demo-output
    """
    check_out_folder(out)
    load_libraries()
    from wordsight.demo import run_demo

    run_demo(out, sentences)
