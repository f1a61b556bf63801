"""Runs the app with uvicorn: in this process, or in several of which uvicorn starts those anew that die."""

from __future__ import annotations

import ipaddress
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from wordsight.modeling.loading import load_model
from wordsight.pipelines.loading import DTYPES, load_pipeline
from wordsight.utils.errors import InvalidInputError, WordsightError
from wordsight.utils.progress import is_quiet

from .metrics import SHARED_FOLDER, forget_dead_workers
from .options import ServingOptions
from .protocol import PatientProtocol

if TYPE_CHECKING:
    from fastapi import FastAPI

    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

SETTINGS = "WORDSIGHT_SERVING"  # for worker processes
WORKER_SECONDS = 60  # in which a worker must answer its supervisor, busy as it may be
MOST_CONNECTIONS = 1000  # of a process


@dataclass(frozen=True)
class Served:
    """A model, where it runs, and the server's options.

    Attributes:
        model: folder or Hub id.
        revision: on the Hub.
        device: as PyTorch names it, such as "cuda:1"; by default where transformers puts pipelines.
        dtype: of weights and pixels; "auto" is the model's own.
        options: limits and batches.
    """

    model: str
    revision: str | None = None
    device: str | None = None
    dtype: str = "auto"
    options: ServingOptions = field(default_factory=ServingOptions)

    def check(self) -> torch.device | None:
        """The device to run on, if one is named.

        Raises:
            InvalidInputError: there is no such device or type.
        """
        if self.dtype not in DTYPES:
            raise InvalidInputError(f"There is no dtype {self.dtype!r}. Choose one of {', '.join(DTYPES)}.")
        try:
            device = None if self.device is None else torch.device(self.device)
            if device is not None:
                torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise InvalidInputError(
                f"The device {self.device!r} can't be used: {str(error).splitlines()[0]} Pass cpu, cuda, cuda:1, ..."
            ) from error
        return device

    def load(self) -> MultiLabelImageClassificationPipeline:
        """The pipeline.

        Raises:
            InvalidInputError: there is no such model, device or type.
        """
        return load_pipeline(self.model, self.revision, self.check(), dtype=self.dtype)


def serve(served: Served, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serves a model until it is stopped by Ctrl-C or SIGTERM; what is in flight is answered first.

    Args:
        served: the model, and how it is served.
        host: address to listen on; 0.0.0.0 for all of this machine's.
        port: port to listen on; 0 takes a free one.
        workers: processes that each load the model and share the port. One that dies is started anew.

    Raises:
        InvalidInputError: the model can't be loaded, or the address and port can't be used.
        WordsightError: a worker could not start.
    """
    common: dict[str, Any] = {
        "http": PatientProtocol,
        "ws": "none",
        "server_header": False,
        "log_level": "warning" if is_quiet() else "info",
        "limit_concurrency": MOST_CONNECTIONS,
        "timeout_graceful_shutdown": round(2 * served.options.timeout) + 1,  # to read, and to answer
        "timeout_worker_healthcheck": WORKER_SECONDS,
    }
    with _listen(host, port) as listener, suppress(KeyboardInterrupt):  # raised anew by uvicorn when it has stopped
        if workers == 1:
            from .app import make_app

            app = make_app(served.load(), served.options)
            _announce(served, listener)
            uvicorn.Server(uvicorn.Config(app, **common)).run([listener])
            return
        served.check()
        load_model(served.model, served.revision)  # what is wrong with it is said once, in a line
        with tempfile.TemporaryDirectory(prefix="wordsight-metrics-") as folder, ExitStack() as stack:
            os.environ |= {SHARED_FOLDER: folder, SETTINGS: json.dumps(asdict(served) | {"workers": workers})}
            for name in (SHARED_FOLDER, SETTINGS):
                stack.callback(os.environ.pop, name, None)
            _announce(served, listener)
            config = uvicorn.Config(f"{__name__}:worker_app", factory=True, workers=workers, **common)
            supervisor = Multiprocess(config, [listener])
            supervisor.run()
            if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
                raise WordsightError("A worker could not start; its log above says why.")


def worker_app() -> FastAPI:
    """The app of one of several processes, by what the first one left in the environment."""
    from .app import make_app

    given = json.loads(os.environ[SETTINGS])
    workers, options = given.pop("workers"), ServingOptions(**given.pop("options"))
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    forget_dead_workers()
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    try:
        return make_app(Served(**given, options=options).load(), options)
    except WordsightError as error:  # by this status uvicorn knows that starting it anew would help nothing
        print(f"Error: {error}", file=sys.stderr, flush=True)
        sys.exit(STARTUP_FAILURE)


def _end_with_supervisor() -> None:
    """Stops this worker if the process that started it dies: nobody else would."""
    if supervisor := multiprocessing.parent_process():
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else str(error)
        raise InvalidInputError(
            f"Can't listen on {host}, port {port}: {reason}. Use another --host or --port."
        ) from error


def _announce(served: Served, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"Serving {served.model} on http://{shown}:{port} (Ctrl-C stops it).", flush=True)
    if ipaddress.ip_address(host).is_unspecified and served.options.api_key is None:
        print("Everybody in your network can use it; --api-key asks for a key.", flush=True)
