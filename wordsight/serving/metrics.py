"""What Prometheus is told of a server."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # of several worker processes, as prometheus_client has it


class Metrics:
    """Counters of one server; with several worker processes, `text` adds theirs up."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("wordsight_requests", "Requests for labels, by status.", ["status"], registry=registry)
        self.seconds = Histogram(
            "wordsight_request_seconds", "From a request to its answer.", buckets=SECONDS, registry=registry
        )
        self.photos = Counter("wordsight_photos", "Photos that the model has seen.", registry=registry)
        self.batches = Histogram("wordsight_batch_size", "Photos of a batch.", buckets=BATCHES, registry=registry)
        self.model_seconds = Histogram(
            "wordsight_model_seconds", "What the model takes for a batch.", buckets=SECONDS, registry=registry
        )
        self.under_way = Gauge(
            "wordsight_photos_under_way",
            "Photos that were taken in and not answered yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        registry = self._registry
        if os.environ.get(SHARED_FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)


def forget_dead_workers() -> None:
    """Leaves out of the gauges of several workers what those say that have died: nothing of it is under way."""
    folder = os.environ[SHARED_FOLDER]
    for path in Path(folder).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, folder)
