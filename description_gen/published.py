"""Under which name sentences are on the Hub, kept beside them so that a model trained on them can say so."""

from __future__ import annotations

import json
from pathlib import Path

PUBLISHED = "hub.json"


def note_published(folder: Path, repo_id: str) -> None:
    """Keeps the name of the data set repository that holds the sentences of a folder."""
    (folder / PUBLISHED).write_text(json.dumps({"dataset": repo_id}) + "\n", encoding="utf-8")


def published_as(folder: Path) -> dict[str, str]:
    """`{"dataset": "user/name"}`, or nothing where the sentences were not pushed."""
    path = folder / PUBLISHED
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
