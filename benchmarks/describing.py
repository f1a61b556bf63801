"""Tokens a second of description generation: our server path against vLLM's own offline engine, on the same requests.

python -m benchmarks.describing
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import psutil

from benchmarks.measure import ratios, spread
from wordsight.description_gen import Category, Knowledge, LLMServer, language_model
from wordsight.description_gen.captions import DescriptionPlan, DescriptionRequest
from wordsight.description_gen.llm.asking import ask_all
from wordsight.description_gen.llm.client import CONCURRENCY, LLMClient
from wordsight.description_gen.llm.server import CPU_ARGUMENTS, CPU_CACHE_GIB
from wordsight.description_gen.questions import load_questions

R = TypeVar("R")

# 20 categories: attributes, scenes, and what each is seen with, as a language model would say it.
KNOWLEDGE: dict[str, tuple[list[str], list[str], list[str]]] = {
    "person": (["short dark hair", "blue jacket"], ["a city street", "a kitchen"], ["dog", "bicycle", "cup"]),
    "dog": (["brown shaggy fur", "floppy ears"], ["a garden", "a beach"], ["person", "ball"]),
    "cat": (["gray striped fur", "green eyes"], ["a sofa", "a window sill"], ["sofa", "bed"]),
    "horse": (["long black mane", "white legs"], ["a meadow", "a stable"], ["person", "tree"]),
    "cow": (["black and white patches", "short horns"], ["a pasture", "a farm yard"], ["tree", "person"]),
    "bird": (["red feathers", "a yellow beak"], ["a branch", "a lake shore"], ["tree", "boat"]),
    "bicycle": (["thin wheels", "a red frame"], ["a city street", "a park"], ["person", "car"]),
    "car": (["shiny silver paint", "dark windows"], ["a car park", "a highway"], ["bus", "person"]),
    "bus": (["large windows", "yellow paint"], ["a bus stop", "a busy road"], ["car", "person"]),
    "train": (["long blue carriages", "round headlights"], ["a station", "a bridge"], ["person"]),
    "boat": (["a white sail", "a wooden hull"], ["a harbour", "a calm lake"], ["person", "bird"]),
    "chair": (["four wooden legs", "a soft cushion"], ["a dining room", "an office"], ["table", "cup"]),
    "table": (["a round top", "dark wood"], ["a kitchen", "a restaurant"], ["chair", "bottle", "cup"]),
    "sofa": (["gray fabric", "wide armrests"], ["a living room", "a hotel lobby"], ["cat", "table"]),
    "bed": (["white sheets", "two pillows"], ["a bedroom", "a hospital ward"], ["cat", "person"]),
    "bottle": (["green glass", "a narrow neck"], ["a bar", "a picnic blanket"], ["table", "cup"]),
    "cup": (["white porcelain", "a small handle"], ["a desk", "a cafe"], ["table", "bottle"]),
    "tree": (["thick bark", "bright green leaves"], ["a forest", "a hillside"], ["bird", "flower"]),
    "flower": (["pink petals", "a thin stem"], ["a garden", "a vase"], ["tree", "table"]),
    "ball": (["black and white leather", "bright red rubber"], ["a lawn", "a gym"], ["person", "dog"]),
}


@dataclass(frozen=True)
class Batch:
    """One round over all requests: generated tokens, and the seconds they took."""

    tokens: int
    seconds: float


class CountingClient(LLMClient):
    """Counts the tokens that the server says it generated."""

    tokens = 0

    async def _guard(self, call: Callable[..., Awaitable[R]]) -> R:
        answer = await super()._guard(call)
        if usage := getattr(answer, "usage", None):
            self.tokens += usage.completion_tokens
        return answer


def run(repeats: int = 3, prompts: int = 384) -> dict[str, Any]:
    """Asks both ways in turns, each round with prompts of its own, after a round that doesn't count.

    Both have vLLM in processes of its own, the same engine arguments, seeds and limits. Starting up does not count, and
    whoever does not answer is stopped meanwhile: vLLM's processes look for work without pause also when there is none,
    and would take the cores from the other's.

    Args:
        repeats: rounds that count.
        prompts: requests in a round, all given at once; with few, the end of a round, when the batch empties, decides.

    Returns:
        For "server" and "offline" the min, median and max of tokens a second and the tokens of each round; and "ratio",
        the server's over the offline engine's, round by round.
    """
    rounds = [requests(prompts, first=number * prompts) for number in range(repeats + 1)]
    model = Path(language_model("smollm2-135m"))
    batches: dict[str, list[Batch]] = {"server": [], "offline": []}
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve_offline, args=(theirs, model))
    process.start()
    theirs.close()
    try:
        offline = psutil.Process(process.pid)
        with LLMServer(model, progress=False) as server:
            online = [child for child in psutil.Process().children() if child != offline]
            for requested in rounds:
                with stopped(online):
                    ours.send(requested)
                    batches["offline"].append(ours.recv())
                with stopped([offline]):
                    batches["server"].append(asyncio.run(ask(server, requested, CONCURRENCY)))
    finally:
        ours.close()
        process.join()
    report: dict[str, Any] = {"prompts": prompts, "concurrency": CONCURRENCY}
    rates = {}
    for way, (_, *counted) in batches.items():
        rates[way] = [batch.tokens / batch.seconds for batch in counted]
        report[way] = {"tokens_per_second": spread(rates[way]), "tokens": [batch.tokens for batch in counted]}
    return report | {"ratio": ratios(rates["server"], rates["offline"])}


@contextmanager
def stopped(roots: list[psutil.Process]) -> Iterator[None]:
    """Stops processes and all their descendants meanwhile."""
    processes = [process for root in roots for process in (root, *root.children(recursive=True))]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def requests(number: int, first: int = 0) -> list[DescriptionRequest]:
    """Requests as `wordsight describe` makes them for 20 everyday categories."""
    knowledge = Knowledge(
        categories=[Category(name) for name in KNOWLEDGE],
        model="by hand",
        seed=0,
        attributes={name: attributes for name, (attributes, _, _) in KNOWLEDGE.items()},
        scenes={name: scenes for name, (_, scenes, _) in KNOWLEDGE.items()},
        co_occurrence={name: dict.fromkeys(others, 1.0) for name, (_, _, others) in KNOWLEDGE.items()},
    )
    plan = DescriptionPlan(knowledge, load_questions())
    return [plan.request(index) for index in range(first, first + number)]


async def rate(server: LLMServer, prompts: int = 256, warm_up: int = 64) -> float:
    """Sentences a second of a server that runs, after some that don't count."""
    await ask(server, requests(warm_up), CONCURRENCY)
    batch = await ask(server, requests(prompts, first=warm_up), CONCURRENCY)
    return prompts / batch.seconds


async def ask(server: LLMServer, requested: list[DescriptionRequest], concurrency: int) -> Batch:
    """Asks a server that runs."""
    limit = load_questions().descriptions.max_tokens
    async with CountingClient(
        server.base_url, None, server.api_key, concurrency=concurrency, send_seeds=True
    ) as client:

        async def ask_one(request: DescriptionRequest) -> None:
            await client.chat(request.messages, temperature=request.temperature, max_tokens=limit, seed=request.seed)

        await client.model()
        start = time.perf_counter()
        await ask_all(requested, ask_one, client.concurrency)
        return Batch(client.tokens, time.perf_counter() - start)


def _serve_offline(connection: Connection, model: Path) -> None:
    """Answers each list of requests with its batch, until the other end closes."""
    os.environ |= {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE_GIB)
    import torch
    from vllm import LLM, SamplingParams
    from vllm.engine.arg_utils import EngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    arguments = ["--model", str(model), *(() if torch.cuda.is_available() else CPU_ARGUMENTS)]
    engine = LLM.from_engine_args(
        EngineArgs.from_cli_args(EngineArgs.add_cli_args(FlexibleArgumentParser()).parse_args(arguments))
    )
    limit = load_questions().descriptions.max_tokens
    while True:
        try:
            requested: list[DescriptionRequest] = connection.recv()
        except EOFError:
            # Its processes would be waited for at our end, and they don't end by themselves.
            engine.llm_engine.engine_core.shutdown()
            return
        sampling = [SamplingParams(temperature=r.temperature, max_tokens=limit, seed=r.seed) for r in requested]
        start = time.perf_counter()
        answers = engine.chat([request.messages for request in requested], sampling, use_tqdm=False)
        seconds = time.perf_counter() - start
        connection.send(Batch(sum(len(answer.outputs[0].token_ids) for answer in answers), seconds))


if __name__ == "__main__":
    print(json.dumps(run()))
