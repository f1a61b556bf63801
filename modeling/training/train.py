"""From a folder of sentences to a saved model."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import StrictDataclassError

from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.progress import load_libraries

from .arguments import TrainingConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

    from wordsight.description_gen import Knowledge

    from ..configuration_wordsight import WordsightConfig
    from ..encoders import TextEncoder
    from ..grouping import Groups
    from ..modeling_wordsight import WordsightForMultiLabelImageClassification
    from .data import TrainingTexts


TOKEN_FIELDS = ("num_shared_tokens", "num_attribute_tokens", "num_cooccurrence_tokens", "num_category_tokens")


def train_prompts(
    texts: Path | str,
    out: Path | str,
    encoder: str = "imagenet",
    *,
    revision: str | None = None,
    config: TrainingConfig | None = None,
    tokens: tuple[int, int, int, int] | None = None,
    groups: Path | None = None,
    resume: bool = False,
    report_to: str | None = None,
    feature_cache: Path | None = None,
    text_encoder: TextEncoder | None = None,
) -> WordsightForMultiLabelImageClassification:
    """Learns prompts from sentences and saves the model; the whole way from `wordsight describe`'s folder to a model.

    Runs on as many processes as were launched (torchrun, accelerate launch), with the same result.

    Args:
        texts: folder that `wordsight describe` wrote.
        out: folder for the model; checkpoints are kept there until the run is finished.
        encoder: Hub id or path of the encoder, or "imagenet".
        revision: the encoder's revision on the Hub.
        config: how to train; by default what suits the encoder.
        tokens: numbers of global, attribute-group, co-occurrence-group and category tokens.
        groups: JSON file with groups to use instead of those found (see `read_groups`).
        resume: whether to go on from the last checkpoint in `out`.
        report_to: trackers to log to, with commas between: those that accelerate knows ("tensorboard", "trackio",
            "wandb", ...), or "all" that are installed. Files that they write where they are told to go into
            `out`/logs.
        feature_cache: folder for the sentences' features, which other runs and seeds use again; by default in
            wordsight's own cache.
        text_encoder: the text half of `encoder`, where several runs share a loaded one.

    Returns:
        The trained model, on the CPU.

    Raises:
        InvalidInputError: something given can't be used; the message says what to do.
        MissingDependencyError: a tracker, or a package with the ImageNet encoder's weights, is not installed.
    """
    # Here and not above: `--help` and `import wordsight` stay light.
    load_libraries()
    import torch
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    from wordsight.description_gen.dataset import published_as

    from ..encoders import load_text_encoder
    from .data import load_training_texts
    from .tracking import FOLDER, chosen_trackers, start_trackers
    from .trainer import PromptTrainer, checkpoints

    out = Path(out)
    trackers = chosen_trackers(report_to)
    config = config or TrainingConfig.for_encoder(encoder)
    out.mkdir(parents=True, exist_ok=True)
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # else it takes torchrun's processes on a CPU for one each
            mixed_precision=config.mixed_precision,
            log_with=trackers or None,
            project_dir=str(out / FOLDER) if trackers else None,
        )
    except ValueError as error:  # one process has one precision, by accelerate's design
        raise InvalidInputError(f"mixed_precision={config.mixed_precision!r} can't be had here: {error}") from error
    warn_if_fewer_processes(accelerator.num_processes)
    set_seed(config.seed)
    data = load_training_texts(Path(texts), config.validation_share, config.template_sentences, config.seed)
    if accelerator.is_main_process and (left := checkpoints(out)) and not resume:
        warnings.warn(f"{left[-1]} of an unfinished run is dropped; pass --resume to go on from it.", stacklevel=2)
        for path in left:
            shutil.rmtree(path)
    accelerator.wait_for_everyone()
    if text_encoder is None:
        with accelerator.local_main_process_first():
            text_encoder = load_text_encoder(encoder, revision=revision)
    text_encoder.to(accelerator.device)
    model_config = _model_config(data, text_encoder, accelerator, groups, config.seed)
    model_config.encoder, model_config.encoder_revision = _saved_name(encoder), _pinned(encoder, revision)
    model_config.provenance = (model_config.provenance or {}) | published_as(Path(texts))
    model_config.prior_weight, model_config.mean_shift = config.prior_weight, config.mean_shift
    model_config.update(dict(zip(TOKEN_FIELDS, tokens, strict=True)) if tokens else {})
    model_config.validate()
    trainer = PromptTrainer(model_config, config, data, text_encoder, accelerator, out, feature_cache=feature_cache)
    if accelerator.is_main_process:
        counts = ", ".join(f"{count} {level}" for level, count in trainer.prompts.num_tokens().items())
        print(f"Learning {counts} tokens (both branches) from {len(data.train_texts)} sentences.")
    if trackers:
        about = {"encoder": encoder, "categories": len(data.names), "sentences": len(data.train_texts)}
        tokens_of = {name: getattr(model_config, name) for name in TOKEN_FIELDS}
        start_trackers(accelerator, out, resume, config.to_dict() | about | tokens_of)
    log = trainer.train(resume=resume)
    model = trainer.model()
    if accelerator.is_main_process:
        with writing(out, "go on with --resume"):
            save_model(model, data.knowledge, log, out)
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.wait_for_everyone()
    return model


def _model_config(
    data: TrainingTexts, text_encoder: TextEncoder, accelerator: Accelerator, groups: Path | None, seed: int
) -> WordsightConfig:
    """The configuration that follows from categories, knowledge and encoder."""
    from accelerate.utils import broadcast_object_list

    from ..grouping import attribute_embeddings, attribute_groups, cooccurrence_graph, cooccurrence_groups, read_groups

    knowledge, names = data.knowledge, data.names
    own_attribute, own_cooccurrence = read_groups(groups) if groups else (None, None)
    embeddings = attribute_embeddings(knowledge.categories, knowledge, text_encoder)
    # Found once and sent to all: processes must not differ by a rounding in how categories are grouped.
    found: list[Any] = [None, None]
    if accelerator.is_main_process:
        found = [
            own_attribute or attribute_groups(names, embeddings),
            own_cooccurrence
            or cooccurrence_groups(cooccurrence_graph(names, knowledge.co_occurrence, data.train_labels), seed),
        ]
    broadcast_object_list(found)
    try:
        return _config_of(data, text_encoder.width, embeddings.shape[-1], *found)
    except StrictDataclassError as error:
        raise InvalidInputError(
            f"{groups} does not fit the categories: {str(error).splitlines()[-1].strip()}"
        ) from error


def _config_of(data: TrainingTexts, width: int, dim: int, attribute: Groups, cooccurrence: Groups) -> WordsightConfig:
    from ..configuration_wordsight import WordsightConfig
    from ..score_statistics import choose_compounds

    return WordsightConfig(
        id2label=dict(enumerate(data.names)),
        synonyms={category.name: list(category.synonyms) for category in data.categories if category.synonyms},
        prompt_width=width,
        projection_dim=dim,
        attribute_groups=attribute,
        cooccurrence_groups=cooccurrence,
        compounds=[[data.names[k] for k in members] for members in choose_compounds(data.train_labels)],
        provenance={
            "language_model": data.knowledge.model,
            "language_model_seed": data.knowledge.seed,
            "training_sentences": len(data.train_texts),
            "validation_sentences": len(data.validation_texts),
        },
    )


def _saved_name(encoder: str) -> str:
    """A local path is kept absolute, so that the model loads from any working directory."""
    return str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder


def _pinned(encoder: str, revision: str | None) -> str | None:
    """The encoder's commit on the Hub: prompts fit the weights that they were learned for, and no others."""
    from transformers.utils.hub import resolve_revision

    if encoder == "imagenet":
        return None
    found = resolve_revision(encoder, revision)
    return getattr(found, "resolved", found)


def save_model(
    model: WordsightForMultiLabelImageClassification,
    knowledge: Knowledge,
    log: dict[str, Any],
    out: Path,
) -> None:
    """Writes the model, the training log, what the LLM said, and the card; drops checkpoints.

    Figures of an earlier model in the same folder go with that model.
    """
    from wordsight.utils.files import KNOWLEDGE, TRAINING_LOG, drop_figures
    from wordsight.utils.plugins import load_plugin

    from .trainer import checkpoints

    model.save_pretrained(out)
    model.config.name_or_path = str(out)
    drop_figures(out)
    (out / TRAINING_LOG).write_text(json.dumps(log, indent=2), encoding="utf-8")
    knowledge.save(out / KNOWLEDGE)
    if write_card := load_plugin("write_card"):
        write_card(out)
    for path in checkpoints(out):
        shutil.rmtree(path)


def warn_if_fewer_processes(running: int) -> None:
    """Warns when fewer processes run than were asked for (accelerate 1.15's launch starts just one on a CPU)."""
    asked = _processes_asked_for()
    if asked > running:
        warnings.warn(
            f"{asked} processes were asked for, {running} is running: on a CPU, accelerate launch starts only one. Use "
            f"`torchrun --nproc_per_node {asked} -m wordsight train ...` instead.",
            stacklevel=2,
        )


def _processes_asked_for() -> int:
    """The launcher's number of processes: torchrun tells it, accelerate's simple launcher only its command line."""
    import psutil
    from accelerate.commands.launch import launch_command_parser

    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    try:
        parent = psutil.Process().parent()
        command = parent.cmdline() if parent else []
    except psutil.Error:
        return 1
    if "launch" not in command[:4] or not any("accelerate" in part for part in command[:3]):
        return 1
    given, _ = launch_command_parser().parse_known_args(command[command.index("launch") + 1 :])
    return given.num_processes or 1
