"""What `PromptTrainer` takes: transformers' `TrainingArguments` with the method's own, and defaults that suit both."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

from wordsight.utils.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from ..encoders import TextEncoder

# What works depends on how the encoder's text and image sides relate, so defaults go by family; the figures behind
# them are in modeling/encoders/imagenet/README.md (ImageNet encoder) and TaI-DPT, section 4.1 (CLIP). How category
# embeddings are finished goes by family, too: `TextEncoder.embedding_defaults`.
ENCODER_DEFAULTS: dict[str, dict[str, Any]] = {
    "imagenet": {
        "learning_rate": 3e-3,
        "num_train_epochs": 10,
        "global_batch_size": 256,
        "noise": 8.0,
        "concept_weight": 0.0,
    },
    "contrastive": {
        "learning_rate": 2e-3,
        "num_train_epochs": 20,
        "global_batch_size": 512,
        "noise": 0.3,
        "concept_weight": 3.0,
    },
}
# Fields that are the model's: None leaves its configuration as it is.
CONFIG_FIELDS = (
    "logit_scale",
    "margin",
    "local_temperature_text",
    "local_temperature_image",
    "local_weight",
    "prior_weight",
    "mean_shift",
)
TOKEN_FIELDS = ("num_shared_tokens", "num_attribute_tokens", "num_cooccurrence_tokens", "num_category_tokens")

POSITIVE_FIELDS = (
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "global_batch_size",
    "logit_scale",
    "local_temperature_text",
    "local_temperature_image",
)
NOT_NEGATIVE_FIELDS = (
    "noise",
    "concept_weight",
    "margin",
    "prior_weight",
    "prompt_chunk_size",
    "weight_decay",
    "warmup_steps",
    *TOKEN_FIELDS,
)


def _help(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass
class PromptTrainingArguments(TrainingArguments):
    """Arguments of `PromptTrainer`: all of transformers' `TrainingArguments`, and the method's own.

    A field that is None takes what suits the encoder's family, or what the model's configuration says.

    Args:
        output_dir (`str`): Folder for checkpoints and the model.
        learning_rate (`float`, *optional*): AdamW's, after warm-up. By default 3e-3 for the ImageNet encoder and 2e-3
            for CLIP-like encoders.
        num_train_epochs (`float`, *optional*): Passes over the sentences. By default 10 (ImageNet) or 20.
        global_batch_size (`int`, *optional*): Sentences of one optimizer step, over all processes and accumulation
            steps together, so that the result does not depend on how many processes share the work. By default what
            `per_device_train_batch_size` makes of it, or 256 (ImageNet) or 512.
        noise (`float`, *optional*): Norm of the Gaussian noise added to the unit text features, relative to their
            length; it closes part of the gap between texts and photos (CoMC, arXiv 2404.10740). By default 8
            (ImageNet) or 0.3.
        concept_weight (`float`, *optional*): How strongly each category's prompt is drawn to its class concept, the
            mean feature of the sentences that mention it less the mean of all: weight of the sum over categories of
            1 - cosine, in the global branch, beside the ranking loss of a sentence. 0 for the ranking loss alone, as
            in the paper. By default 0 (ImageNet) or 3.
        logit_scale (`float`, *optional*): Temperature tau, the factor from cosine to logit.
        margin (`float`, *optional*): Margin of the ranking loss.
        local_temperature_text (`float`, *optional*): beta of the softmax over a sentence's tokens.
        local_temperature_image (`float`, *optional*): beta of the softmax over a photo's patches.
        local_weight (`float`, *optional*): Weight of the local branch in the final logit.
        prior_weight (`float`, *optional*): Weight of the name's zero-shot embedding beside the learned prompt.
        mean_shift (`bool`, *optional*): Whether what all categories have in common is taken out of their embeddings.
        num_shared_tokens (`int`, *optional*): Tokens shared by all categories. With this and the next three, a model
            that was not trained yet gets new prompts.
        num_attribute_tokens (`int`, *optional*): Tokens of each attribute group.
        num_cooccurrence_tokens (`int`, *optional*): Tokens of each co-occurrence group.
        num_category_tokens (`int`, *optional*): Tokens of each category alone.
        template (`str`, *optional*): Words that the shared tokens start as; empty for random ones.
        template_sentences (`bool`): Whether to add "a photo of a {}." for each category name and synonym.
        validation_share (`float`): Share of the sentences held out where no `eval_dataset` is passed.
        prompt_chunk_size (`int`): Prompts that go through the text encoder at once. More categories are cut into
            chunks and go through it a second time for the gradient (gradient checkpointing), so that memory does not
            grow with them. 0 for all at once.
        feature_cache (`str`, *optional*): Folder for the sentences' features, which other runs use again; by default
            in wordsight's own cache.

    Raises:
        InvalidInputError: a value is out of its range; the message names the field.
        MissingDependencyError: a tracker in `report_to` is not installed.

    Example:
        >>> from wordsight import PromptTrainingArguments
        >>> args = PromptTrainingArguments(output_dir="model", num_train_epochs=5)
        >>> args.metric_for_best_model
        'map'
    """

    # Ours, in place of transformers' defaults.
    learning_rate: float | None = field(default=None, metadata=_help("AdamW's learning rate."))  # type: ignore[assignment]
    num_train_epochs: float | None = field(default=None, metadata=_help("Passes over the sentences."))  # type: ignore[assignment]
    per_device_train_batch_size: int | None = field(  # type: ignore[assignment]
        default=None, metadata=_help("Sentences at a time on each device.")
    )
    per_device_eval_batch_size: int = field(default=256, metadata=_help("Held-out sentences at a time."))
    lr_scheduler_type: str = field(default="cosine", metadata=_help("Schedule of the learning rate."))
    warmup_steps: float = field(default=0.05, metadata=_help("Warm-up, in steps, or as a share of them if below 1."))
    max_grad_norm: float = field(default=0.0, metadata=_help("Largest norm of the gradient; 0 does not clip."))
    eval_strategy: str = field(default="epoch", metadata=_help("When to evaluate on held-out sentences."))
    save_strategy: str = field(default="epoch", metadata=_help("When to write a checkpoint."))
    logging_strategy: str = field(default="epoch", metadata=_help("When to log."))
    load_best_model_at_end: bool = field(default=True, metadata=_help("Whether to end with the best checkpoint."))
    metric_for_best_model: str | None = field(default="map", metadata=_help("What the best checkpoint is best in."))
    greater_is_better: bool | None = field(default=None, metadata=_help("Whether more of it is better."))
    save_total_limit: int | None = field(default=1, metadata=_help("Checkpoints to keep, beside the best one."))
    seed: int = field(default=0, metadata=_help("Source of all randomness."))
    project: str = field(default="wordsight", metadata=_help("Project of the trackers."))
    hub_strategy: str = field(default="end", metadata=_help("What is pushed to the Hub, and when."))
    remove_unused_columns: bool = field(default=False, metadata=_help("Not used: sentences are encoded once."))
    ddp_find_unused_parameters: bool | None = field(default=False, metadata=_help("All prompts are used in each step."))

    # The method's.
    global_batch_size: int | None = field(default=None, metadata=_help("Sentences of a step, over all processes."))
    noise: float | None = field(default=None, metadata=_help("Norm of the noise on the unit text features."))
    concept_weight: float | None = field(default=None, metadata=_help("How strongly prompts are drawn to concepts."))
    logit_scale: float | None = field(default=None, metadata=_help("Temperature tau."))
    margin: float | None = field(default=None, metadata=_help("Margin of the ranking loss."))
    local_temperature_text: float | None = field(default=None, metadata=_help("beta over a sentence's tokens."))
    local_temperature_image: float | None = field(default=None, metadata=_help("beta over a photo's patches."))
    local_weight: float | None = field(default=None, metadata=_help("Weight of the local branch."))
    prior_weight: float | None = field(default=None, metadata=_help("Weight of the name's zero-shot embedding."))
    mean_shift: bool | None = field(default=None, metadata=_help("Whether to take out what categories share."))
    num_shared_tokens: int | None = field(default=None, metadata=_help("Tokens shared by all categories."))
    num_attribute_tokens: int | None = field(default=None, metadata=_help("Tokens of each attribute group."))
    num_cooccurrence_tokens: int | None = field(default=None, metadata=_help("Tokens of each co-occurrence group."))
    num_category_tokens: int | None = field(default=None, metadata=_help("Tokens of each category."))
    template: str | None = field(default=None, metadata=_help("Words that the shared tokens start as."))
    template_sentences: bool = field(default=True, metadata=_help("Whether to add 'a photo of a {}.' for each name."))
    validation_share: float = field(default=0.1, metadata=_help("Share of the sentences to hold out."))
    prompt_chunk_size: int = field(default=256, metadata=_help("Prompts at a time through the text encoder."))
    feature_cache: str | None = field(default=None, metadata=_help("Folder for the sentences' features."))

    def __post_init__(self) -> None:
        """Checks the values, and takes the CPU where there is no accelerator."""
        self._check()
        if not torch.accelerator.is_available():
            # Else torchrun's processes on a CPU are taken for one each.
            self.use_cpu = True
        if isinstance(self.report_to, str):
            self.report_to = list(dict.fromkeys(name.strip() for name in self.report_to.split(",")))
        if self.run_name is None and self.output_dir is not None:
            self.run_name = Path(self.output_dir).expanduser().resolve().name
        try:
            super().__post_init__()
        except ValueError as error:
            raise InvalidInputError(str(error).splitlines()[0]) from error
        self._check_trackers()

    def _check(self) -> None:
        def positive(value: float | None) -> bool:
            return value is None or (math.isfinite(value) and value > 0)

        def not_negative(value: float | None) -> bool:
            return value is None or (math.isfinite(value) and value >= 0)

        fine = {name: positive(getattr(self, name)) for name in POSITIVE_FIELDS}
        fine |= {name: not_negative(getattr(self, name)) for name in NOT_NEGATIVE_FIELDS}
        fine["gradient_accumulation_steps"] = self.gradient_accumulation_steps >= 1
        fine["local_weight"] = self.local_weight is None or 0 <= self.local_weight <= 1
        fine["validation_share"] = 0 < self.validation_share < 1
        fine["average_tokens_across_devices"] = self.average_tokens_across_devices  # else processes weigh alike
        for name, is_fine in fine.items():
            if not is_fine:
                raise InvalidInputError(
                    f"{name} can't be {getattr(self, name)!r}; see the documentation of PromptTrainingArguments."
                )
        if self.global_batch_size and self.per_device_train_batch_size:
            raise InvalidInputError("Pass global_batch_size or per_device_train_batch_size, not both.")
        if self.global_batch_size and self.gradient_accumulation_steps > self.global_batch_size:
            raise InvalidInputError(
                f"gradient_accumulation_steps can't be {self.gradient_accumulation_steps}: a step has only "
                f"{self.global_batch_size} sentences (global_batch_size)."
            )

    def _check_trackers(self) -> None:
        if not self.report_to:
            return
        from transformers.integrations import integration_utils

        installed = integration_utils.get_available_reporting_integrations()
        for name in self.report_to:
            if name not in integration_utils.INTEGRATION_TO_CALLBACK:
                known = ", ".join(sorted(integration_utils.INTEGRATION_TO_CALLBACK))
                raise InvalidInputError(f"report_to: there is no tracker {name!r}; there are {known}, all and none.")
            if name not in installed:
                package = name.replace("_", "-")
                raise MissingDependencyError(
                    f"report_to: the tracker {name} is not installed. Run `pip install {package}`."
                )

    def for_encoder(self, encoder: TextEncoder) -> PromptTrainingArguments:
        """A copy in which nothing of the training is None: what was not set takes what suits the encoder's family."""
        args = copy.copy(self)
        family = "imagenet" if encoder.model.config.model_type == "wordsight-offline" else "contrastive"
        pieces = args.world_size * args.gradient_accumulation_steps
        if args.per_device_train_batch_size is not None:
            args.global_batch_size = args.per_device_train_batch_size * pieces
        for name, value in ENCODER_DEFAULTS[family].items():
            if getattr(args, name) is None:
                setattr(args, name, value)
        assert args.global_batch_size is not None
        args.per_device_train_batch_size = -(-args.global_batch_size // pieces)
        # Several GPUs are used by several processes: DataParallel would cut sentences apart.
        args._n_gpu = min(args.n_gpu, 1)
        return args
