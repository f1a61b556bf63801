"""A training run's settings by their short names, as `training_log.json` and ablation files have them. Light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import InvalidInputError

if TYPE_CHECKING:
    from .arguments import PromptTrainingArguments

# Short name -> field of `PromptTrainingArguments`. The names are those of format 2's logs; what is missing here has the
# same name in both.
ARGUMENT_OF = {"epochs": "num_train_epochs", "batch_size": "global_batch_size", "warmup_ratio": "warmup_steps"}
SETTINGS = (
    "learning_rate",
    "epochs",
    "batch_size",
    "gradient_accumulation_steps",
    "prompt_chunk_size",
    "noise",
    "concept_weight",
    "prior_weight",
    "mean_shift",
    "warmup_ratio",
    "weight_decay",
    "validation_share",
    "template",
    "template_sentences",
    "mixed_precision",
    "seed",
)


def settings_of(args: PromptTrainingArguments) -> dict[str, Any]:
    """The settings of a run, as JSON can hold them."""
    values = {name: getattr(args, ARGUMENT_OF.get(name, name)) for name in SETTINGS}
    epochs = values["epochs"]
    return values | {"epochs": int(epochs) if epochs is not None and epochs == int(epochs) else epochs}


def arguments_of(settings: Mapping[str, Any], output_dir: str | Path, **more: Any) -> PromptTrainingArguments:
    """The arguments for settings by their short names.

    Args:
        settings: some of `SETTINGS`; None is what suits the encoder.
        output_dir: folder of the run.
        more: fields of `PromptTrainingArguments`.

    Raises:
        InvalidInputError: a name or a value can't be used.
    """
    from .arguments import PromptTrainingArguments

    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise InvalidInputError(f"There is no setting {', '.join(unknown)}; there are {', '.join(SETTINGS)}.")
    given = {ARGUMENT_OF.get(name, name): value for name, value in settings.items() if value is not None}
    precision = given.pop("mixed_precision", None)
    if precision not in (None, "no", "fp16", "bf16"):
        raise InvalidInputError(f"mixed_precision can't be {precision!r}; allowed are no, fp16 and bf16.")
    given |= {"fp16": precision == "fp16", "bf16": precision == "bf16"}
    args = PromptTrainingArguments(**{"output_dir": str(output_dir)} | given | more)
    if precision == "no":  # also where the launcher says otherwise
        args.mixed_precision = "no"
    return args
