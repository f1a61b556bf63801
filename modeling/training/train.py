"""From sentences to a saved model, in one call."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.description_gen.dataset import normalize_texts, published_as
from wordsight.utils.errors import check_not_empty
from wordsight.utils.progress import load_libraries

from ..imagenet_variants import DEFAULT_ENCODER

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from ..encoders import TextEncoder
    from ..grouping import GroupsGiven
    from ..modeling_wordsight import WordsightForMultiLabelImageClassification
    from .arguments import PromptTrainingArguments


def train_prompts(
    texts: Dataset | DatasetDict | Path | str,
    out: Path | str,
    encoder: str = DEFAULT_ENCODER,
    *,
    revision: str | None = None,
    args: PromptTrainingArguments | None = None,
    groups: GroupsGiven | None = None,
    resume: bool = False,
    text_encoder: TextEncoder | None = None,
    config_fields: Mapping[str, Any] | None = None,
) -> WordsightForMultiLabelImageClassification:
    """Learns prompts from sentences and saves the model: `from_encoder`, `PromptTrainer` and `save_model` in one call.

    Runs on as many processes as were launched (torchrun, accelerate launch), with the same result.

    Args:
        texts: sentences with `text` and `labels`: a dataset, the folder that `wordsight describe` wrote, a file, or an
            id on the Hub.
        out: folder for the model; checkpoints are kept there until the run is finished.
        encoder: Hub id or path of the encoder, "imagenet-lite2" or "imagenet".
        revision: the encoder's revision on the Hub.
        args: how to train; by default what suits the encoder. Its `output_dir` gives way to `out`.
        groups: JSON file with groups to use instead of those found (see `read_groups`), or what it holds.
        resume: whether to go on from the last checkpoint in `out`, if there is one.
        text_encoder: the text half of `encoder`, where several runs share a loaded one.
        config_fields: fields of `WordsightConfig` that training does not change, such as `{"image_size": 336}`.

    Returns:
        The trained model, on the CPU.

    Raises:
        InvalidInputError: something given can't be used; the message says what to do.
        MissingDependencyError: a tracker, or a package with the ImageNet encoder's weights, is not installed.

    Example:
        >>> from wordsight import PromptTrainingArguments, train_prompts
        >>> args = PromptTrainingArguments(output_dir="pets", num_train_epochs=2)
        >>> model = train_prompts("my-texts", "pets", args=args)  # doctest: +ELLIPSIS
        Learning ... tokens (both branches) from ... sentences.
        >>> model.config.category_names
        ['cat', 'dog', 'car', 'cup']
    """
    # Here and not above: `--help` and `import wordsight` stay light.
    load_libraries()
    from .arguments import TOKEN_FIELDS, PromptTrainingArguments
    from .checkpoints import checkpoints, drop
    from .trainer import PromptTrainer

    check_not_empty(out, "out")
    out = Path(out)
    args = copy.copy(args) if args is not None else PromptTrainingArguments(output_dir=str(out))
    args.output_dir = str(out)
    dataset, _ = normalize_texts(texts)
    left = checkpoints(out)
    if left and not resume and args.should_save:
        warnings.warn(f"{left[-1]} of an unfinished run is dropped; pass --resume to go on from it.", stacklevel=2)
    if not resume and args.should_save:
        drop(out)
    tokens = {name: getattr(args, name) for name in TOKEN_FIELDS if getattr(args, name) is not None}
    fields = dict(config_fields or {}) | tokens
    model = _untrained(
        args, encoder, dataset, groups, revision=revision, text_encoder=text_encoder, seed=args.seed, **fields
    )
    if isinstance(texts, str | Path) and Path(texts).is_dir():
        model.config.provenance = published_as(Path(texts))
    trainer = PromptTrainer(model=model, args=args, train_dataset=dataset)
    if trainer.is_world_process_zero():
        counts = ", ".join(f"{count} {level}" for level, count in model.prompts.num_tokens().items())
        print(f"Learning {counts} tokens (both branches) from {len(trainer.train_dataset)} sentences.")
    trainer.train(resume_from_checkpoint=resume and bool(left))
    trainer.save_model()
    if args.should_save:
        drop(out)
    trainer.accelerator.wait_for_everyone()
    return model.cpu().eval()


def _untrained(
    args: PromptTrainingArguments, encoder: str, dataset: Dataset, groups: GroupsGiven | None, **options: Any
) -> WordsightForMultiLabelImageClassification:
    """The model before it is trained, the same on all processes.

    The first process goes first, so that it alone downloads and builds. What it finds of groups is sent to all:
    processes must not differ by a rounding in how categories are grouped.
    """
    from accelerate.utils import broadcast_object_list

    from ..modeling_wordsight import WordsightForMultiLabelImageClassification

    model = None
    found: list[Any] = [None]
    if args.process_index == 0:
        model = WordsightForMultiLabelImageClassification.from_encoder(encoder, dataset, groups=groups, **options)
        found = [{kind: getattr(model.config, kind) for kind in ("attribute_groups", "cooccurrence_groups")}]
    if args.world_size > 1:
        broadcast_object_list(found)
    if model is None:
        model = WordsightForMultiLabelImageClassification.from_encoder(encoder, dataset, groups=found[0], **options)
    return model
