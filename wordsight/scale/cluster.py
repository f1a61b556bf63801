"""The connection to a Ray cluster, and what goes wrong there as errors that fit in a line."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wordsight.utils.errors import InvalidInputError, WordsightError, needs

LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"
CONNECT_TIMEOUT = 10.0  # seconds
LOCAL = "local"  # a cluster of this machine alone, for as long as the job takes


def import_ray() -> Any:
    """The package `ray`, with `ray.data`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    with needs("scale"):
        import ray.data
    return ray


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The package `ray`, connected to a cluster until the block ends; a program that is connected stays so.

    Args:
        address: "local", "auto" (the cluster that this machine is part of), "HOST:PORT" or "ray://HOST:PORT".

    Raises:
        InvalidInputError: no cluster is there.
        MissingDependencyError: Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    if ":" in address:
        _check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of clusters that are started here
    options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    told = os.environ.get(LOG_LEVEL)
    os.environ.setdefault(LOG_LEVEL, "fatal")  # else Ray warns of what Ray Data does
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            f"No Ray cluster answers at {address!r} ({(str(error).splitlines() or [type(error).__name__])[0]}). Start "
            "one with `ray start --head`, or pass --ray local, for this machine alone."
        ) from error
    finally:
        if told is None:
            del os.environ[LOG_LEVEL]
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises InvalidInputError if nothing listens at HOST:PORT; Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"Nothing answers at {address!r} ({error}). Pass --ray auto, local, or the HOST:PORT of a cluster's first "
            "machine."
        ) from error


@contextmanager
def quiet_data() -> Iterator[None]:
    """Runs datasets without Ray's own progress bars and its lines on each execution."""
    from ray.data import DataContext

    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.CRITICAL + 1)  # what goes wrong is raised here
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        logger.setLevel(before[1])


@contextmanager
def readable_errors() -> Iterator[None]:
    """Raises what went wrong on a machine of the cluster as an error of this one.

    Raises:
        WordsightError: our own errors as they are; of others, what they say.
    """
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        cause = _cause(error)
        if isinstance(cause, WordsightError):
            raise cause from error
        if isinstance(cause, ImportError):
            raise WordsightError(
                f"A machine of the cluster can't import what the job needs ({cause}). Install the same wordsight on "
                "all of them."
            ) from error
        told = _last_line(cause) or _last_line(error) or type(cause).__name__
        # A copy of the model that can't be made has its error in the text of Ray's.
        own = re.match(r"wordsight(?:\.\w+)+: (.*)", told)
        raise WordsightError(
            f"On a machine of the cluster: {own[1]}" if own else f"The job failed on the cluster: {told}."
        ) from error


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[-1]


def _cause(error: BaseException) -> BaseException:
    """The first error of a chain: what a task raised, below what Ray says of it."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None:
        error = inner
    return error
