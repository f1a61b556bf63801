"""`python -m ablations.world`: trains the CLIP of the world, and answers the study's questions."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .clip import LARGE, SMALL, trained_clip, untrained
from .questions import QUESTIONS


def main() -> None:
    """Trains the CLIP unless it is in the cache, and prints the table of each question that is asked."""
    parser = argparse.ArgumentParser(prog="python -m ablations.world", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)}; none only trains")
    parser.add_argument("--out", type=Path, default=Path("world-study"), help="folder for sentences, photos and models")
    parser.add_argument("--small", action="store_true", help="the CLIP that `make test` trains")
    parser.add_argument("--untrained", action="store_true", help="a CLIP with random weights: the control")
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="JSON of PromptTrainingArguments, for all models"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.questions) - set(QUESTIONS)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    settings = SMALL if arguments.small else LARGE
    encoder = trained_clip(untrained(settings) if arguments.untrained else settings)
    print(f"The CLIP is in {encoder}.")
    for question in arguments.questions:
        asked = QUESTIONS[question]
        answer = asked(encoder, arguments.out / encoder.name, arguments.settings)
        print(f"\n{question}: {asked.__doc__}\n\n{answer}", flush=True)


if __name__ == "__main__":
    main()
