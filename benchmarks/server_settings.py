"""Sentences a second of the default language model, by how vLLM is started: as wordsight does it, and otherwise.

python -m benchmarks.server_settings
"""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from typing import Any

import psutil

from benchmarks.describing import ask, requests, stopped
from benchmarks.measure import ratios, spread
from wordsight.description_gen import LLMServer, language_model
from wordsight.description_gen.llm.catalog import DEFAULT
from wordsight.description_gen.llm.client import CONCURRENCY

OURS = "as wordsight starts it"
# Arguments after wordsight's own, so that they count.
WAYS = {
    OURS: (),
    "blocks of 128 tokens (vLLM's own)": ("--block-size", "128"),
    "no prefix caching": ("--no-enable-prefix-caching",),
}


def run(repeats: int = 3, prompts: int = 128) -> dict[str, Any]:
    """Asks each server in turns, each round with prompts of its own, after a round that doesn't count.

    Whoever is not asked is stopped meanwhile: vLLM's processes look for work without pause also when there is none.

    Args:
        repeats: rounds that count.
        prompts: requests in a round, all given at once.

    Returns:
        For each way the min, median and max of sentences a second, and of ours over its, round by round.
    """
    rounds = [requests(prompts, first=number * prompts) for number in range(repeats + 1)]
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        servers, processes = {}, {}
        for way, arguments in WAYS.items():
            before = psutil.Process().children()
            server = LLMServer(language_model(DEFAULT), extra_args=arguments, progress=False)
            with stopped(before):
                servers[way] = stack.enter_context(server)
            processes[way] = [child for child in psutil.Process().children() if child not in before]
        for requested in rounds:
            for way, server in servers.items():
                others = [process for other in WAYS if other != way for process in processes[other]]
                with stopped(others):
                    seconds[way].append(asyncio.run(ask(server, requested, CONCURRENCY)).seconds)
    rates = {way: [prompts / taken for taken in found[1:]] for way, found in seconds.items()}
    return {
        "model": DEFAULT,
        "prompts": prompts,
        "concurrency": CONCURRENCY,
        "sentences_a_second": {way: spread(found) for way, found in rates.items()},
        "ratios": {way: ratios(rates[OURS], found) for way, found in rates.items() if way != OURS},
    }


if __name__ == "__main__":
    print(json.dumps(run()))
