"""How things are measured: interleaved repeats, ratios with their spread, peak memory in a process of its own."""

from __future__ import annotations

import atexit
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np


class Seconds(float):
    """What a case gives that has looked at the clock itself."""


def interleaved(cases: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds that each case takes, repeat by repeat, after one call of each that does not count.

    The cases of a repeat follow each other, so that what else the machine does slows all of them alike.
    """
    for call in cases.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            start = time.perf_counter()
            found = call()
            seconds[name].append(found if isinstance(found, Seconds) else time.perf_counter() - start)
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, middle and greatest value."""
    return {"min": min(values), "median": median(values), "max": max(values)}


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, float]:
    """Spread of the ratios of repeats that were measured side by side."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent of the growth: slope of log cost over log size, by least squares; 1 is linear, 0 is flat."""
    return float(np.polyfit([math.log(size) for size in sizes], [math.log(max(cost, 1e-12)) for cost in costs], 1)[0])


def in_new_process(module: str, *arguments: str, timeout: float | None = None) -> dict[str, Any]:
    """Runs `python -m module arguments`; gives the JSON of its last line.

    Raises:
        RuntimeError: it failed; holds what it wrote.
        TimeoutError: it did not end in so many seconds, and was stopped.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{' '.join(command)} did not end in {timeout:g} s.") from error
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-3000:]}")
    content: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return content


def scratch_folder() -> Path:
    """A folder that is gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="wordsight-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def peak_memory() -> int:
    """The most memory that this process had so far, in bytes (Linux).

    Not getrusage's: that begins with what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
