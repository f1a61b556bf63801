"""Makes a model ready for a training run's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub.errors import StrictDataclassError

from wordsight.utils.errors import InvalidInputError

from .arguments import CONFIG_FIELDS, TOKEN_FIELDS, PromptTrainingArguments

if TYPE_CHECKING:
    from ..modeling_wordsight import WordsightForMultiLabelImageClassification


def apply_to_model(args: PromptTrainingArguments, model: WordsightForMultiLabelImageClassification) -> None:
    """Sets what the arguments say of the method in the model's configuration; new prompts where they ask for others."""
    config = model.config
    given = {name: getattr(args, name) for name in (*CONFIG_FIELDS, *TOKEN_FIELDS) if getattr(args, name) is not None}
    changed = {name for name, value in given.items() if getattr(config, name) != value}
    anew = sorted(changed.intersection(TOKEN_FIELDS))
    trained = bool((config.provenance or {}).get("training_sentences"))
    if trained and (anew or args.template is not None):
        raise InvalidInputError(
            f"{', '.join(anew or ['template'])} can't be changed: the model's prompts are trained already. Omit it, or "
            "make a new model with WordsightForMultiLabelImageClassification.from_encoder."
        )
    try:
        config.update(given)
        config.validate()
    except StrictDataclassError as error:
        raise InvalidInputError(str(error).splitlines()[-1].strip()) from error
    if anew or args.template is not None:
        model.initialize_prompts(**{} if args.template is None else {"template": args.template}, seed=args.seed)
    if not any(parameter.requires_grad for parameter in model.prompts.parameters()):
        raise InvalidInputError(
            "There is no prompt token to learn. Set one of num_shared_tokens, num_attribute_tokens, "
            "num_cooccurrence_tokens and num_category_tokens above 0."
        )
    model.embedder.layout.resize_chunks(args.prompt_chunk_size)
