"""vLLM in this process: no server and no port, and requests are batched as a server would."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from wordsight.utils.errors import MissingDependencyError
from wordsight.utils.progress import progress_bar

from .answers import NO_THINKING, Answer
from .asker import Asker, Message
from .endings import Tokens
from .server import NO_VLLM, LLMServerError, model_name, vllm_arguments, vllm_environment


@dataclass(frozen=True)
class _Request:
    """What vLLM is to answer, and where its output goes."""

    number: str
    prompt: Any
    sampling: Any
    output: Future[Any] = field(default_factory=Future)


class OfflineLLM(Asker):
    """A language model on vLLM's engine in this process, as a context manager; asked like a server.

    The engine's own workers are processes, as vLLM makes them. On a CPU, vLLM starts them by running the main script
    again: it needs `if __name__ == "__main__":`.

    Args:
        model: Hub id or folder of the language model.
        tensor_parallel_size: devices over which each layer of the model is split.
        concurrency: requests under way at once.
        extra_args: more arguments for vLLM (`--max-model-len 4096`).
        progress: whether to show that its start is being waited for.

    Example:
        >>> with OfflineLLM("Qwen/Qwen3-8B") as llm:  # doctest: +SKIP
        ...     messages = [{"role": "user", "content": "A caption for a photo of a cat?"}]
        ...     print(asyncio.run(llm.chat(messages, temperature=0.0, max_tokens=48, seed=0)).text)
    """

    def __init__(
        self,
        model: str | Path,
        *,
        tensor_parallel_size: int = 1,
        concurrency: int = 128,
        extra_args: tuple[str, ...] = (),
        progress: bool = True,
    ) -> None:
        super().__init__()
        self._path, self._concurrency, self._progress = str(model), concurrency, progress
        self._arguments = [*vllm_arguments(), *extra_args]
        if tensor_parallel_size > 1:
            self._arguments += ["--tensor-parallel-size", str(tensor_parallel_size)]
        self._requests: queue.Queue[_Request | None] = queue.Queue()
        self._numbers = count()
        self._engine: Any = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """What answers, for messages."""
        return f"vLLM with {model_name(self._path)}"

    @property
    def concurrency(self) -> int:
        """How many requests are taken at once."""
        return self._concurrency

    async def close(self) -> None:
        """There are no connections."""

    async def model(self) -> str:
        """The model's name."""
        return model_name(self._path)

    def __enter__(self) -> OfflineLLM:
        if find_spec("vllm") is None:
            raise MissingDependencyError(NO_VLLM)
        with progress_bar(f"Starting vLLM ({model_name(self._path)})", enabled=self._progress):
            self._engine = self._start()
        self._defaults = self._engine.model_config.get_diff_sampling_param()  # as the server takes them
        self._thread = threading.Thread(target=self._work, name="wordsight-vllm", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._requests.put(None)
            self._thread.join()
            self._engine.engine_core.shutdown()  # its processes don't end by themselves
            self._thread = self._engine = None

    async def _answer(
        self, messages: list[Message], sampling: dict[str, Any], schema: dict[str, Any] | None, logprobs: bool
    ) -> Answer:
        from vllm.sampling_params import StructuredOutputsParams

        prompt = self._engine.get_tokenizer().apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            **NO_THINKING["chat_template_kwargs"],
        )
        options = dict(sampling)
        if schema is not None:
            options["structured_outputs"] = StructuredOutputsParams(json=schema)
        if logprobs:
            options["logprobs"] = 0  # of the tokens themselves
        output = await self._ask({"prompt_token_ids": prompt}, options)
        (completion,) = output.outputs
        mean = completion.cumulative_logprob / len(completion.token_ids) if logprobs else None
        return Answer.from_text(completion.text, completion.finish_reason, log_probability=mean)

    async def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text's tokens after the first.

        Raises:
            LLMServerError: vLLM stopped.
        """
        output = await self._ask(text, {"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 0})
        return sum(next(iter(position.values())).logprob for position in output.prompt_logprobs if position)

    async def _tokens(self, text: str) -> Tokens:
        return tuple(self._engine.get_tokenizer().encode(text))

    async def _following(self, before: Tokens, tokens: Sequence[int]) -> dict[int, float]:
        options = {"temperature": 0.0, "max_tokens": 1, "logprob_token_ids": list(tokens)}
        output = await self._ask({"prompt_token_ids": list(before)}, options)
        return {token: scored.logprob for token, scored in output.outputs[0].logprobs[0].items()}

    async def _ask(self, prompt: Any, options: dict[str, Any]) -> Any:
        from vllm import SamplingParams

        if self._thread is None:
            raise LLMServerError("vLLM does not run. Use OfflineLLM in a `with` block.")
        request = _Request(str(next(self._numbers)), prompt, SamplingParams(**self._defaults | options))
        self._requests.put(request)
        return await asyncio.wrap_future(request.output)

    def _start(self) -> Any:
        """The engine; what vLLM changes in this process's environment is changed back."""
        with _environment(vllm_environment(self._path) | {"VLLM_LOGGING_LEVEL": "ERROR"}):
            from vllm import EngineArgs, LLMEngine
            from vllm.utils.argparse_utils import FlexibleArgumentParser

            parser = EngineArgs.add_cli_args(FlexibleArgumentParser())
            arguments = parser.parse_args(["--model", self._path, "--no-use-tqdm-on-load", *self._arguments])
            try:
                return LLMEngine.from_engine_args(EngineArgs.from_cli_args(arguments))
            except Exception as error:
                raise LLMServerError(
                    f"vLLM did not start: {error} Check the model's name or folder and the memory that is free, or use "
                    "a running server (--base-url)."
                ) from error

    def _work(self) -> None:
        """The engine's thread: takes requests as they come, and gives outputs as they are finished."""
        waiting: dict[str, Future[Any]] = {}
        error: Exception | None = None
        while error is None:
            try:
                while (request := self._next(block=not waiting)) is not _NOTHING:
                    if request is None:
                        return
                    self._add(request, waiting)
                for output in self._engine.step() if waiting else ():
                    if output.finished:
                        _give(waiting.pop(output.request_id), output)
            except Exception as failure:  # the engine is dead, and all that wait have to know
                error = LLMServerError(f"vLLM stopped: {failure} All answers so far are on disk.")
        for future in waiting.values():
            _fail(future, error)
        while (request := self._requests.get()) is not None:
            _fail(request.output, error)

    def _next(self, block: bool) -> _Request | None:
        """The next request; None at the end; `_NOTHING` where none is there."""
        try:
            return self._requests.get(block=block)
        except queue.Empty:
            return _NOTHING

    def _add(self, request: _Request, waiting: dict[str, Future[Any]]) -> None:
        try:
            self._engine.add_request(request.number, request.prompt, request.sampling)
        except Exception as error:  # it is too long, or a schema can't be used: vLLM has classes of its own for that
            _fail(request.output, LLMServerError(f"vLLM refuses the request: {error}"))
        else:
            waiting[request.number] = request.output


_NOTHING = _Request("", None, None)


def _give(future: Future[Any], output: Any) -> None:
    with suppress(InvalidStateError):  # whoever asked may be gone
        future.set_result(output)


def _fail(future: Future[Any], error: Exception) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Environment variables for what is started inside."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
