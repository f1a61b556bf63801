"""What commands begin with: the processes that were launched, and a model, with errors that fit in a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from huggingface_hub.errors import StrictDataclassError

from wordsight.utils.errors import InvalidInputError, WordsightError, check_not_empty
from wordsight.utils.progress import library_step

from .configuration_wordsight import WordsightConfig
from .modeling_wordsight import WordsightForMultiLabelImageClassification

# What transformers and the config's own checks raise at values that can't be.
CONFIG_ERRORS = (StrictDataclassError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


def load_model(model: str, revision: str | None = None) -> WordsightForMultiLabelImageClassification:
    """What `from_pretrained` gives.

    Args:
        model: folder or Hub id.
        revision: its revision on the Hub.

    Raises:
        InvalidInputError: there is no such model, or its files are damaged.
    """
    check_not_empty(model, "model")
    with _in_one_line(model), library_step(f"Loading {model}"):
        return WordsightForMultiLabelImageClassification.from_pretrained(model, revision=revision or "main")


def load_config(model: str, revision: str | None = None) -> WordsightConfig:
    """A model's config alone, with the errors of `load_model`."""
    check_not_empty(model, "model")
    with _in_one_line(model):
        return WordsightConfig.from_pretrained(model, revision=revision or "main")


@contextmanager
def _in_one_line(model: str) -> Iterator[None]:
    """Makes one line of what transformers raises at a model that is absent or damaged."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(
            f"The model {model!r} can't be loaded: {str(error).splitlines()[0]} Pass the folder that `wordsight train "
            "--out` wrote, or a Hub id; for a private model, log in with `hf auth login` or set HF_TOKEN."
        ) from error
    except WordsightError:
        raise
    except CONFIG_ERRORS as error:
        raise InvalidInputError(
            f"The model {model!r} can't be loaded, since its files say what can't be: {' '.join(str(error).split())}. "
            "Train or download the model again."
        ) from error


def make_accelerator() -> Accelerator:
    """The processes that were launched; on a CPU, torchrun's are taken for what they are."""
    return Accelerator(cpu=not torch.accelerator.is_available())
