"""`python -m wordsight` is `wordsight`."""

from wordsight.cli import run

run()
