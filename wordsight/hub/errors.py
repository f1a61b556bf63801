"""What the Hub answers when something goes wrong, as one line that says what to do and whether to try again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)

from wordsight.utils.errors import InvalidInputError, WordsightError

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token with write permission."


class HubError(WordsightError):
    """The Hub refused, or did not answer.

    Attributes:
        retry_is_safe: whether the same call can be made again without publishing anything twice.
    """

    def __init__(self, message: str, retry_is_safe: bool = True) -> None:
        super().__init__(message)
        self.retry_is_safe = retry_is_safe


def is_transient(error: Exception) -> bool:
    """Whether a call may succeed when it is made again: no answer, too many requests, or a fault of the server's."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx2.TransportError)


@contextmanager
def explained(repo_id: str, endpoint: str, landed_unknown: bool = False) -> Iterator[None]:
    """Turns the client's errors into `HubError`.

    Args:
        repo_id: what is pushed to.
        endpoint: the Hub's address.
        landed_unknown: whether a pull request may have been opened although its answer was lost.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: the repository's name, or the card's metadata, is not valid.
    """
    try:
        yield
    except HFValidationError as error:
        raise InvalidInputError(f"{repo_id!r} is not a valid repository name: {error} Use user/name.") from error
    except OfflineModeIsEnabled as error:
        raise HubError(f"Offline mode is on: nothing can be pushed to {endpoint}. Unset HF_HUB_OFFLINE.") from error
    except LocalTokenNotFoundError as error:
        raise HubError(f"There is no token for {endpoint}. {LOG_IN}") from error
    except HfHubHTTPError as error:
        raise _explain(error, repo_id, endpoint, landed_unknown) from error
    except httpx2.TransportError as error:
        what = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "can't be reached"
        raise HubError(
            f"The Hub at {endpoint} {what} ({type(error).__name__}). {_again(repo_id, landed_unknown)}",
            retry_is_safe=not landed_unknown,
        ) from error
    except ValueError as error:
        if "metadata in README.md" not in str(error):
            raise
        reasons = " ".join(str(error).split())
        raise InvalidInputError(
            f"The Hub does not accept the card: {reasons} Correct README.md. Nothing was published."
        ) from error


def _explain(error: HfHubHTTPError, repo_id: str, endpoint: str, landed_unknown: bool) -> HubError:
    status = error.response.status_code
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{repo_id} has no such revision. Choose one that exists with --revision.")
    if status == 401:
        sent = error.response.request.headers.get("authorization")
        what = "does not accept the token" if sent else "needs a token"
        return HubError(f"The Hub at {endpoint} {what} to write to {repo_id}. {LOG_IN} Nothing was published.")
    if status == 403:
        return HubError(
            f"The token has no permission to write to {repo_id}. Change that at {endpoint}/settings/tokens, push to a "
            "repository of your own, or propose the change with --create-pr. Nothing was published."
        )
    if status == 404:
        return HubError(
            f"{repo_id} does not exist at {endpoint}, or this token can't see it. Check the name. "
            "Nothing was published."
        )
    if status in {409, 412}:
        return HubError(
            f"{repo_id} was changed by somebody else at the same time ({status}). Nothing was published; it is safe to "
            "run the same command again."
        )
    if is_transient(error):
        return HubError(
            f"The Hub at {endpoint} has a problem ({status}). {_again(repo_id, landed_unknown)}",
            retry_is_safe=not landed_unknown,
        )
    said = error.server_message or str(error).splitlines()[0]
    return HubError(f"The Hub at {endpoint} refused ({status}): {said} Nothing was published.")


def _again(repo_id: str, landed_unknown: bool) -> str:
    if landed_unknown:
        return (
            f"The pull request may have been opened nevertheless: look at the discussions of {repo_id} before you run "
            "the command again."
        )
    return "Nothing is half-published: a push is one commit. It is safe to run the same command again."
