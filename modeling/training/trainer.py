"""transformers' Trainer for prompts: sentences in place of photos, and a model that is finished when it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import EvalPrediction, Trainer, TrainerCallback
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import EvalLoopOutput, TrainOutput, denumpify_detensorize

from wordsight.description_gen.dataset import Knowledge, knowledge_of, normalize_texts
from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError, WordsightError, writing
from wordsight.utils.progress import progress_bar

from ..calibration import fit_calibration
from ..encoders.loading import quiet_transformers
from ..metrics import average_precisions, mean_average_precision
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from .arguments import CONFIG_FIELDS, TOKEN_FIELDS, PromptTrainingArguments
from .batches import GlobalBatches, InOrder, SentenceLoader, Sentences
from .callbacks import RunSettings, StepProgress
from .checkpoints import check_settings, checkpoints, drop, read_state
from .concepts import class_concepts
from .data import check_sentences, example_sentences, hold_out, read_sentences, with_templates
from .features import cached_features
from .guards import tracker_errors
from .labeled_features import LabeledFeatures
from .noise import FeatureNoise
from .prepare import apply_to_model
from .settings import settings_of
from .side_files import training_log, write_side_files

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from huggingface_hub import CommitInfo

# What only says how a step is cut up, not what comes out of it: a resumed run may have other values.
FREE_TO_CHANGE = ("gradient_accumulation_steps", "prompt_chunk_size")


class PromptTrainer(Trainer):
    """Learns a model's prompts from labeled sentences: transformers' `Trainer`, on what the method needs.

    Checkpoints, resuming, schedulers, trackers, mixed precision, gradient accumulation, callbacks and processes are
    Trainer's own. Added are: features of the sentences, encoded once and kept; noise on them; steps whose result
    does not depend on how many processes share them; mAP on held-out sentences as `eval_map`; and at the end the best
    checkpoint, finished category embeddings, and thresholds fitted to the held-out sentences.

    Args:
        model ([`WordsightForMultiLabelImageClassification`]): From `from_encoder`, or trained before.
        args ([`PromptTrainingArguments`]): By default what suits the model's encoder.
        train_dataset (`datasets.Dataset`, `DatasetDict`, `str` or `Path`): Sentences with `text` and `labels`.
        eval_dataset: Held-out sentences, likewise. By default `args.validation_share` of the others are held out.
        compute_metrics: Takes an `EvalPrediction` with calibrated logits (N, K) and multi-hot labels (N, K); what it
            returns is logged beside mAP.
        callbacks: As for `Trainer`.
        optimizers: Optimizer and scheduler, as for `Trainer`.

    Raises:
        InvalidInputError: the sentences, or arguments for this model, can't be used.

    Example:
        >>> from wordsight import PromptTrainer, PromptTrainingArguments, WordsightForMultiLabelImageClassification
        >>> model = WordsightForMultiLabelImageClassification.from_encoder("imagenet", "my-texts")
        >>> args = PromptTrainingArguments(output_dir="model", num_train_epochs=2)
        >>> trainer = PromptTrainer(model=model, args=args, train_dataset="my-texts")
        >>> result = trainer.train()
        >>> trainer.save_model()
        >>> trainer.evaluate()["eval_map"] > 0.9  # on sentences that were held out
        True
    """

    args: PromptTrainingArguments
    model: WordsightForMultiLabelImageClassification
    train_dataset: Sentences
    eval_dataset: Sentences

    def __init__(
        self,
        model: WordsightForMultiLabelImageClassification,
        args: PromptTrainingArguments | None = None,
        train_dataset: Dataset | DatasetDict | Path | str | None = None,
        eval_dataset: Dataset | Path | str | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        text_encoder = model.load_text_encoder()
        args = (args or PromptTrainingArguments(output_dir="trainer_output")).for_encoder(text_encoder)
        apply_to_model(args, model)
        self.knowledge: Knowledge | None = None
        self.log_content: dict[str, Any] | None = None
        self._concepts: Tensor | None = None
        sentences, held_out = self._read(model, args, train_dataset, eval_dataset)
        self._step_progress = StepProgress()
        super().__init__(
            model=model,
            args=args,
            train_dataset=sentences,
            eval_dataset=held_out,
            compute_metrics=compute_metrics,
            callbacks=[*(callbacks or ()), self._step_progress],
            optimizers=optimizers,
        )
        for callback in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
            self.remove_callback(callback)
        if not self.args.use_cache:  # a matter of language models, which Trainer writes into every config
            self.model.config.__dict__.pop("use_cache", None)
        # Processes exchange the prompts' gradients alone: all else is frozen, or computed on each of them alike.
        learned = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        others = {name for name, _ in (*self.model.named_parameters(), *self.model.named_buffers())} - learned
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.model, others)
        # The loss is a sum over sentences, divided by `num_items_in_batch`: those of the whole step.
        self.model_accepts_loss_kwargs = True
        if sentences is not None:
            self.add_callback(RunSettings(self._settings()))

    @property
    def out(self) -> Path:
        """The run's folder."""
        return Path(str(self.args.output_dir))

    def _read(
        self,
        model: WordsightForMultiLabelImageClassification,
        args: PromptTrainingArguments,
        train_dataset: Any,
        eval_dataset: Any,
    ) -> tuple[Sentences | None, Sentences | None]:
        """Sentences to learn from and to hold out."""
        categories = model.config.categories
        held_out = read_sentences(eval_dataset, categories) if eval_dataset is not None else None
        if train_dataset is None:
            return None, held_out
        if held_out is None and isinstance(train_dataset, dict) and "validation" in train_dataset:
            held_out = read_sentences(train_dataset["validation"], categories)
        dataset, _ = normalize_texts(train_dataset, categories)
        self.knowledge = knowledge_of(dataset)
        sentences = read_sentences(dataset, categories)
        check_sentences(sentences, categories, args.template_sentences)
        if held_out is None:
            sentences, held_out = hold_out(sentences, args.validation_share, args.seed)
        if args.template_sentences:
            sentences = with_templates(sentences, categories)
        return sentences, held_out

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be of this run."""
        config, sentences = self.model.config, self.train_dataset
        content = "\n".join(sentences.texts).encode() + sentences.labels.tobytes()
        return {
            "training": {key: value for key, value in settings_of(self.args).items() if key not in FREE_TO_CHANGE},
            "method": {name: getattr(config, name) for name in CONFIG_FIELDS},
            "tokens": {name: getattr(config, name) for name in TOKEN_FIELDS},
            "encoder": [config.encoder, config.encoder_revision],
            "categories": config.category_names,
            "groups": [config.attribute_groups, config.cooccurrence_groups],
            "sentences": fingerprint(content),
        }

    # ---- Sentences and their features ----

    def encode(self, *parts: Sentences | None) -> None:
        """Encodes sentences that were not yet; features of earlier runs come from the cache."""
        todo = [part for part in parts if part is not None and part.features is None]
        if not todo:
            return
        texts = sorted({text for part in todo for text in part.texts})
        cache = self.args.feature_cache
        features = cached_features(texts, self.model.load_text_encoder(), Path(cache) if cache else None)
        row_of = {text: row for row, text in enumerate(texts)}
        for part in todo:
            part.features = features.select([row_of[text] for text in part.texts])

    def get_train_dataloader(self) -> SentenceLoader:
        """Loads each step's share of sentences for this process; see `GlobalBatches`."""
        args, sentences = self.args, self.train_dataset
        if not isinstance(sentences, Sentences):
            raise InvalidInputError("PromptTrainer: training requires a train_dataset.")
        self.encode(sentences, self.eval_dataset)
        if args.noise and sentences.noise is None:
            sentences.noise = FeatureNoise(args.noise, self.model.config.projection_dim, args.seed)
        if args.concept_weight and self._concepts is None:
            self._concepts = class_concepts(LabeledFeatures.of(sentences), centered=True).to(args.device)
        # `auto_find_batch_size` makes steps smaller.
        pieces = args.world_size * args.gradient_accumulation_steps
        size = min(args.global_batch_size or 1, self._train_batch_size * pieces)
        batches = GlobalBatches(
            len(sentences), size, args.process_index, args.world_size, args.gradient_accumulation_steps, args.seed
        )
        return SentenceLoader(sentences, batches, **self._loading())

    def get_eval_dataloader(self, eval_dataset: Any = None) -> SentenceLoader:
        """All held-out sentences, in order."""
        sentences = self.eval_dataset if eval_dataset is None else eval_dataset
        if sentences is None:
            raise InvalidInputError("PromptTrainer: evaluation requires an eval_dataset.")
        if not isinstance(sentences, Sentences):
            sentences = read_sentences(sentences, self.model.config.categories)
        self.encode(sentences)
        return SentenceLoader(sentences, InOrder(len(sentences), self.args.eval_batch_size))

    def get_test_dataloader(self, test_dataset: Any) -> SentenceLoader:
        """All sentences of another dataset, in order."""
        return self.get_eval_dataloader(test_dataset)

    def _loading(self) -> dict[str, Any]:
        workers = self.args.dataloader_num_workers
        kept = {"prefetch_factor": self.args.dataloader_prefetch_factor} if workers else {}
        return {"num_workers": workers, "pin_memory": self.args.dataloader_pin_memory} | kept

    # ---- A step ----

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """Sentences of the whole step, over all processes and accumulation steps."""
        count = torch.tensor(sum(len(batch["labels"]) for batch in batch_samples), device=device)
        return self.accelerator.reduce(count, "sum") if self.args.world_size > 1 else count

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """As in Trainer, with a line that says what to do when memory runs out."""
        try:
            return super().training_step(model, inputs, num_items_in_batch)
        except torch.OutOfMemoryError as error:
            if self.args.auto_find_batch_size:
                raise
            raise WordsightError(
                f"Out of memory: {str(error).splitlines()[0]} Use a smaller prompt_chunk_size (now "
                f"{self.args.prompt_chunk_size}), more gradient_accumulation_steps (now "
                f"{self.args.gradient_accumulation_steps}), or more processes."
            ) from error

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The ranking loss of sentences, after noise on their features, and the pull to class concepts."""
        starts, noise = inputs.pop("noise_starts", None), self.train_dataset.noise
        if starts is not None and noise is not None:
            counts = inputs["token_counts"]
            pooled, tokens = noise(inputs["text_embeds"], inputs["token_embeds"], counts, starts)
            inputs |= {"text_embeds": pooled, "token_embeds": tokens}
        drawn_to: dict[str, Any] = {}
        if self._concepts is not None:
            drawn_to = {"concepts": self._concepts, "concept_weight": self.args.concept_weight}
        return super().compute_loss(model, inputs | drawn_to, return_outputs, num_items_in_batch)

    # ---- Evaluation ----

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Finishes the category embeddings and scores all sentences, on every process alike: nothing is gathered."""
        sentences = dataloader.dataset
        assert isinstance(sentences, Sentences)
        self.model.update_category_embeddings()
        loss, similarities, logits = self._score(dataloader)
        metrics: dict[str, Any] = {"loss": loss, "map": mean_average_precision(similarities, sentences.labels)}
        if self.compute_metrics is not None:
            if sentences is self.eval_dataset:  # probabilities as they will be if this is the best checkpoint
                self.model.set_calibration(*fit_calibration(similarities, sentences.labels))
                logits = self.model.calibrated(torch.from_numpy(similarities)).numpy()
            metrics |= self.compute_metrics(EvalPrediction(predictions=logits, label_ids=sentences.labels))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in denumpify_detensorize(metrics).items()}
        return EvalLoopOutput(logits, sentences.labels, metrics, len(sentences))

    @torch.no_grad()
    def _score(self, dataloader: DataLoader[Any]) -> tuple[float, NDArray[np.float32], NDArray[np.float32]]:
        """Mean loss, similarities (N, K) and calibrated logits (N, K) of sentences."""
        self.model.eval()
        losses, similarities, logits = 0.0, [], []
        for batch in dataloader:
            output = self.model(**self._prepare_inputs(batch), num_items_in_batch=1)
            losses += float(output.loss)
            similarities.append(output.similarities.float().cpu().numpy())
            logits.append(output.logits.float().cpu().numpy())
        return losses / self.num_examples(dataloader), np.concatenate(similarities), np.concatenate(logits)

    # ---- The run ----

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Learns the prompts, as in Trainer, and finishes the model with the best of them.

        Args:
            resume_from_checkpoint: a checkpoint's folder, or True for the newest whole one in `output_dir`.
            trial: as in Trainer.
            ignore_keys_for_eval: as in Trainer.

        Raises:
            InvalidInputError: there is no checkpoint, or it is of a run with other settings; names them.
            WordsightError: memory, the disk or a tracker fails; says what to do.
        """
        checkpoint = self._checkpoint(resume_from_checkpoint) if resume_from_checkpoint else None
        total = self.set_initial_training_values(self.args, self.get_train_dataloader())[-1]
        shown = self.is_world_process_zero() and not self.args.disable_tqdm
        with (
            progress_bar("Learning prompts", total, "step", enabled=shown) as bar,
            tracker_errors(self.args.report_to or ()),
        ):
            self._step_progress.bar = bar
            output = super().train(str(checkpoint) if checkpoint else None, trial, ignore_keys_for_eval)
        self._finish()
        return output

    def _checkpoint(self, wanted: str | bool) -> Path:
        """The checkpoint to go on from. What a killed run left half-written is removed."""
        out = self.out
        if self.args.should_save:
            drop(out, only_broken=True)
        self.accelerator.wait_for_everyone()
        if wanted is True:
            found = checkpoints(out)
            if not found:
                raise InvalidInputError(f"There is no checkpoint in {out} to go on from.")
            checkpoint = found[-1]
        else:
            checkpoint = Path(str(wanted))
        state = read_state(checkpoint)
        if state is None:
            raise InvalidInputError(f"{checkpoint} is not a whole checkpoint.")
        check_settings(checkpoint, RunSettings.saved(state), self._settings())
        return checkpoint

    def _finish(self) -> None:
        """Finished embeddings of the prompts as they are now, thresholds, and the training log."""
        model, held_out = self.model, self.eval_dataset
        model.update_category_embeddings()
        if model.config.memory_weight:
            model.set_memory(LabeledFeatures.of(self.train_dataset).memory())
        _, similarities, _ = self._score(self.get_eval_dataloader())
        with progress_bar("Fitting thresholds", enabled=self.is_world_process_zero()):
            model.set_calibration(*fit_calibration(similarities, held_out.labels))
        known = (
            {"language_model": self.knowledge.model, "language_model_seed": self.knowledge.seed}
            if self.knowledge
            else {}
        )
        model.config.provenance = {
            **(model.config.provenance or {}),
            **known,
            "training_sentences": len(self.train_dataset),
            "validation_sentences": len(held_out),
        }
        self.log_content = training_log(
            settings_of(self.args) | {name: getattr(model.config, name) for name in ("prior_weight", "mean_shift")},
            self.state.log_history,
            dict(zip(model.config.category_names, average_precisions(similarities, held_out.labels), strict=True)),
            example_sentences(self.train_dataset, model.config.categories),
        )

    # ---- Saving ----

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        target = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        with quiet_transformers(), writing(target, "go on with --resume (resume_from_checkpoint=True)"):
            super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """What `save_pretrained` writes; no pickle of the arguments, which are in the training log."""
        self.model.save_pretrained(output_dir or self.out, state_dict=state_dict)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        missing = [key for key in load_result.missing_keys if not key.startswith("image_encoder.")]  # never saved
        super()._issue_warnings_after_load(type(load_result)(missing, load_result.unexpected_keys))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes the finished model: weights, config, image processor, training log, knowledge and model card.

        Args:
            output_dir: the folder; `args.output_dir` by default.
            _internal_call: True for checkpoints, which get no card.

        Raises:
            WordsightError: the disk is full.
        """
        with quiet_transformers():
            super().save_model(output_dir, _internal_call=True)
        if _internal_call:
            return
        folder = Path(output_dir or self.out)
        if self.args.should_save:
            with writing(folder, "save the model again"):
                write_side_files(folder, self.log_content, self.knowledge)
            self.model.config.name_or_path = str(folder)
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            self.push_to_hub(commit_message="Model save")

    def push_to_hub(  # type: ignore[override]
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> CommitInfo | None:
        """Saves the model and pushes it with its card, log and knowledge, in one commit; see the model's `push_to_hub`.

        Args:
            commit_message: of the commit.
            blocking: taken for Trainer's sake; the upload is waited for.
            token: a token, by default `args.hub_token`.
            revision: branch to push to.
            kwargs: more for the model's `push_to_hub`, such as `tags`.
        """
        pushes, self.args.push_to_hub = self.args.push_to_hub, False
        try:
            self.save_model()
        finally:
            self.args.push_to_hub = pushes
        if not self.is_world_process_zero():
            return None
        commit: CommitInfo = self.model.push_to_hub(
            self.args.hub_model_id or self.out.resolve().name,
            commit_message=commit_message,
            private=self.args.hub_private_repo,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
            **kwargs,
        )
        return commit
