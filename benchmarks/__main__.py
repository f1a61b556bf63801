"""`make bench`: measures everything, prints a table of ratios, writes JSON and the pictures of docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.report import draw, print_table

PARTS = (
    "labeling_photos",
    "reading",
    "exported",
    "image_settings",
    "memory",
    "training",
    "labeling_sentences",
    "evaluating",
    "describing",
    "server_settings",
    "serving",
)


def main() -> None:
    """Runs the parts that are asked for, each in a process of its own, and keeps what was measured before of others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"), help="JSON file of all figures")
    parser.add_argument("--pictures", type=Path, default=Path("docs/images"), help="folder for the plots")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results: dict[str, Any] = {}
    if arguments.out.exists():
        results = json.loads(arguments.out.read_text(encoding="utf-8"))
    for part in arguments.parts or PARTS:
        print(f"Measuring {part} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{part}"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        results[part] = json.loads(output.strip().splitlines()[-1])  # vLLM writes its log before
        results["machine"] = machine()
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print_table(results)
    draw(results, arguments.pictures)


def machine() -> dict[str, Any]:
    """Where and when it was measured."""
    import torch
    import transformers

    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


if __name__ == "__main__":
    main()
