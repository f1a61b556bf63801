"""Errors a user can act on: one line that names what was given and what to do about it."""


class WordsightError(Exception):
    """Base of wordsight's own errors. The command line prints its message as one line and exits with status 1."""


class InvalidInputError(WordsightError, ValueError):
    """Something the user gave (a file, a category, an option, a checkpoint) can't be used as it is."""


class MissingDependencyError(WordsightError, ImportError):
    """An optional package or its files are not installed; the message holds the command that installs them."""
