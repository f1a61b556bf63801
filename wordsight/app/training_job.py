"""Training a model in a process of its own, which can be stopped at any time and then leaves nothing running."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, TextIO, TypeAlias

import psutil
from filelock import FileLock

from wordsight.description_gen import Category
from wordsight.description_gen.llm import supervise
from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER
from wordsight.utils.cache import cache_dir, fingerprint
from wordsight.utils.errors import WordsightError
from wordsight.utils.progress import Progress, listening
from wordsight.version import __version__

STOP_TIMEOUT = 60.0  # seconds until what does not end by itself is killed
QUIET = 1.0  # seconds without news after which `TrainingJob.run` gives its caller the word
REQUEST, FINISHED, LOG = "request.json", "finished.json", "log.txt"


@dataclass(frozen=True)
class TrainingRequest:
    """What a model is to be trained from.

    Attributes:
        categories: the categories.
        sentences: number of usable sentences to write.
        encoder: Hub id or path of the encoder, or "imagenet-lite2" or "imagenet".
        llm: the language model that our own server runs, as in `generate_texts`; None for the default.
        base_url: a running server to use instead.
        seed: seed of everything.
    """

    categories: tuple[Category, ...]
    sentences: int
    encoder: str = DEFAULT_ENCODER
    llm: str | None = None
    base_url: str | None = None
    seed: int = 0

    def folder(self) -> Path:
        """Where its sentences and its model are kept: the same request goes on, or is done, where it was before."""
        content = asdict(self) | {"version": __version__}
        return cache_dir() / "app" / fingerprint(json.dumps(content, sort_keys=True).encode())

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TrainingRequest:
        """Reads what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = tuple(map(Category.from_dict, content.pop("categories")))
        return cls(categories, **content)


@dataclass(frozen=True)
class Remark:
    """Something that the user should know, such as a category that no sentence mentions."""

    text: str


@dataclass(frozen=True)
class Trained:
    """The model is ready."""

    model: str


class TrainingFailedError(WordsightError):
    """A model could not be trained; the message says why and what to do."""


Event: TypeAlias = Progress | Remark | Trained


class TrainingJob:
    """One training.

    Its process ends with `stop`, and with this process, however that ends; what was done until then is kept and used
    when the same request is made again.

    Args:
        request: what to train.
    """

    def __init__(self, request: TrainingRequest) -> None:
        self.request = request
        self.folder = request.folder()
        self.stopped = False
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self) -> Iterator[Event | None]:
        """Trains, and yields progress and remarks, in the end `Trained`; nothing more once it is stopped.

        It yields None when there is nothing new for a second: a generator can only be closed while it waits for its
        caller, and the process is quiet for long, such as while it imports or its language model loads.

        Raises:
            TrainingFailedError: the model can't be trained.
        """
        with self._lock:
            if self.stopped:
                return
            done = (self.folder / FINISHED).exists()
            process = self._process = None if done else self._start()
        if process is None:
            yield Trained(str(self.folder / "model"))
            return
        try:
            assert process.stdout is not None
            for line in _lines(process.stdout):
                if self.stopped:  # what it said before is of no use any more
                    return
                if line is None:
                    yield None
                    continue
                kind, content = json.loads(line)
                if kind == "failed":
                    raise TrainingFailedError(content)
                yield _EVENTS[kind](**content)
                if kind == "trained":
                    return
            if not self.stopped:
                raise TrainingFailedError(f"The training process died. Its log is {self.folder / LOG}.")
        finally:
            # In a thread: whoever closes a generator, such as Gradio in its event loop, can't wait.
            threading.Thread(target=self.stop).start()

    def stop(self) -> None:
        """Ends its process and all that this started; returns when they are gone."""
        self.stopped = True
        with self._lock:  # whoever comes second waits, too
            process, self._process = self._process, None
            if process is not None:
                self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        try:
            started = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            started = []
        assert process.stdin is not None
        process.stdin.close()  # by this its supervisor knows
        process.wait()
        # The language model's server has a supervisor of its own, which ends it when the process is gone.
        _, left = psutil.wait_procs(started, timeout=STOP_TIMEOUT)
        for process_left in left:
            with suppress(psutil.NoSuchProcess):
                process_left.kill()
        psutil.wait_procs(left)

    def _start(self) -> subprocess.Popen[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.request.save(self.folder / REQUEST)
        command = [sys.executable, "-m", "wordsight.app.training_job", str(self.folder)]
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, supervise.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                errors="replace",  # a library's own output, cut off between bytes of a letter
                start_new_session=True,  # Ctrl-C is for the app, which then stops this in order
            )


def _lines(stream: IO[str]) -> Iterator[str | None]:
    """The lines of a pipe, and None whenever there is none for a second."""
    found: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in stream:
                found.put(line)
        finally:
            found.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = found.get(timeout=QUIET)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


_EVENTS: dict[str, Callable[..., Event]] = {"progress": Progress, "remark": Remark, "trained": Trained}


def train_model(request: TrainingRequest, folder: Path) -> Path:
    """Lets the language model describe the categories and learns prompts, in this process; gives the model's folder.

    Args:
        request: what to train.
        folder: where its sentences and its model go.

    Raises:
        WordsightError: something given can't be used, or a step failed.
    """
    from wordsight.description_gen import generate_texts
    from wordsight.modeling.training.settings import arguments_of
    from wordsight.modeling.training.train import train_prompts

    model = folder / "model"
    with FileLock(folder / ".lock"):  # another app on this machine may be at the same
        if (folder / FINISHED).exists():
            return model
        generate_texts(
            request.categories,
            folder / "texts",
            llm=request.llm,
            base_url=request.base_url,
            sentences=request.sentences,
            seed=request.seed,
        )
        args = arguments_of({"seed": request.seed}, model)
        train_prompts(folder / "texts", model, request.encoder, args=args)
        (folder / FINISHED).write_text(json.dumps({"model": str(model)}), encoding="utf-8")
    return model


def main(folder: Path) -> int:
    """Trains the model that a folder asks for, and writes what happens to standard output, a line of JSON each."""
    # What libraries print there goes to the log.
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    show = warnings.showwarning

    def remark(message: Any, category: Any, filename: str, *rest: Any, **more: Any) -> None:
        """Wordsight's own warnings are for the user, libraries' for the log."""
        if _is_ours(filename):
            _tell(events, "remark", {"text": str(message)})
        else:
            show(message, category, filename, *rest, **more)

    warnings.showwarning = remark
    try:
        with listening(lambda progress: _tell(events, "progress", asdict(progress))):
            model = train_model(TrainingRequest.load(folder / REQUEST), folder)
    except WordsightError as error:
        _tell(events, "failed", str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        _tell(events, "failed", f"{type(error).__name__}: {error}. More in {folder / LOG}.")
        return 1
    _tell(events, "trained", asdict(Trained(str(model))))
    return 0


def _is_ours(filename: str) -> bool:
    """Whether a file is one of wordsight's modules."""
    ours = (module for name, module in sys.modules.items() if name.partition(".")[0] == "wordsight")
    return filename == __file__ or any(getattr(module, "__file__", None) == filename for module in ours)


def _tell(events: TextIO, kind: str, content: Any) -> None:
    print(json.dumps([kind, content]), file=events, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
