"""What locust's users do: they post a photo, and again as soon as it is labeled; a wrong answer is a failure."""

import json
import os
from pathlib import Path

from locust import FastHttpUser, task

PHOTO = Path(os.environ["BENCHMARK_PHOTO"]).read_bytes()
EXPECTED = json.loads(os.environ["BENCHMARK_LABELS"])


class Client(FastHttpUser):
    """A connection that is kept open."""

    @task
    def label(self) -> None:
        """One photo."""
        with self.client.post("/", data=PHOTO, catch_response=True) as answer:
            found = answer.json() if answer.status_code == 200 else []
            if [entry["label"] for entry in found][: len(EXPECTED)] != EXPECTED:
                answer.failure("a wrong answer")
