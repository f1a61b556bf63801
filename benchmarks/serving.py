"""`wordsight serve` under locust's load, against transformers' own pipeline behind FastAPI; and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from huggingface_hub import InferenceClient
from huggingface_hub.utils import httpx

from benchmarks.encoders import random_clip, tiny_clip
from benchmarks.labeling_photos import model_folder, photos
from benchmarks.measure import free_port, scratch_folder, spread

CONNECTIONS = (1, 8, 64)
SECONDS = int(os.environ.get("BENCHMARK_SECONDS", "30"))  # of load, for each number of connections
REPEATS = 2
MEMORY_REQUESTS = 10_000
MEMORY_CONNECTIONS = 8
SURE = 3  # best labels that every answer must have


@contextmanager
def server(*command: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server's address, once it answers, and its process."""
    port = str(free_port())
    process = subprocess.Popen([sys.executable, "-m", *command, port], stdout=sys.stderr)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}.")
            try:
                httpx.get(f"{address}/health", timeout=60).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def load(address: str, connections: int, photo: Path) -> Counter[int]:
    """Runs locust; gives how many answers took how many milliseconds.

    Raises:
        RuntimeError: an answer was wrong, or locust failed.
    """
    expected = [entry.label for entry in InferenceClient(address).image_classification(photo)][:SURE]
    given = {"BENCHMARK_PHOTO": str(photo), "BENCHMARK_LABELS": json.dumps(expected)}
    locust = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py")), "--headless"]
    users = ["--users", str(connections), "--spawn-rate", "1000", "--host", address, "--run-time", f"{SECONDS}s"]
    quiet = ["--json", "--loglevel", "ERROR"]
    run = subprocess.run([*locust, *users, *quiet], env=os.environ | given, capture_output=True, text=True, check=False)
    found = json.loads(run.stdout or "[]")
    if run.returncode or not found:
        raise RuntimeError(f"locust failed, or answers were wrong:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    [stats] = found
    return Counter({int(float(took)): count for took, count in stats["response_times"].items()})


def percentile(times: Counter[int], share: float) -> float:
    """The milliseconds within which a share of the answers came."""
    left = share * times.total()
    for took, count in sorted(times.items()):
        left -= count
        if left <= 0:
            return float(took)
    return float(max(times))


def rates(photo: Path) -> dict[str, Any]:
    """Requests a second and latencies of both servers, with CLIP of ViT-B/32's sizes; repeats in turn."""
    folder = model_folder(str(random_clip()))
    found: dict[str, dict[int, list[dict[str, float]]]] = {}
    with (
        server("benchmarks.peer_server", folder) as peer,
        server("wordsight", "--quiet", "serve", folder, "--port") as ours,
    ):
        for _ in range(REPEATS):
            for connections in CONNECTIONS:
                for name, (address, process) in {"ours": ours, "transformers": peer}.items():
                    before = sum(process.cpu_times()[:2])
                    times = load(address, connections, photo)
                    one = {
                        "requests_a_second": times.total() / SECONDS,
                        # What other work on the machine changes least.
                        "cpu_ms_a_request": 1000 * (sum(process.cpu_times()[:2]) - before) / times.total(),
                        "p50_ms": percentile(times, 0.5),
                        "p99_ms": percentile(times, 0.99),
                    }
                    found.setdefault(name, {}).setdefault(connections, []).append(one)
    return {
        name: {
            connections: {figure: spread([one[figure] for one in runs]) for figure in runs[0]}
            for connections, runs in by_connections.items()
        }
        for name, by_connections in found.items()
    }


def memory(photo: Path) -> dict[str, Any]:
    """Bytes of the server's process after some seconds of load and after 10,000 more requests, with a tiny encoder."""
    with server("wordsight", "--quiet", "serve", model_folder(str(tiny_clip())), "--port") as (address, process):
        start = time.perf_counter()
        before = load(address, MEMORY_CONNECTIONS, photo).total()
        first, done = process.memory_info().rss, before
        while done < before + MEMORY_REQUESTS:
            done += load(address, MEMORY_CONNECTIONS, photo).total()
        last = process.memory_info().rss
        seconds = time.perf_counter() - start
    return {
        "requests": done - before,
        "requests_a_second": done / seconds,
        "bytes_before": first,
        "bytes_after": last,
        "bytes_a_request": (last - first) / (done - before),
    }


def run() -> dict[str, Any]:
    """All of it."""
    photo = scratch_folder() / "photo.jpg"
    photos(1)[0].save(photo, quality=90)
    return {"rates": rates(photo), "memory": memory(photo)}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(run()))
