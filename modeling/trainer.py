"""The training loop: prompts of both branches, learned from sentences, on any number of processes."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_cosine_schedule_with_warmup

from wordsight.cache import fingerprint
from wordsight.errors import InvalidInputError, writing
from wordsight.progress import progress_bar

from .calibration import fit_calibration
from .category_embeddings import CategoryEmbedder
from .configuration_training import TrainingConfig
from .configuration_wordsight import WordsightConfig
from .data import TrainingTexts
from .encoders import TextEncoder, load_image_encoder
from .evaluation.metrics import average_precisions, mean_average_precision
from .features import SentenceFeatures, sentence_features
from .modeling_wordsight import WordsightForMultiLabelImageClassification
from .prompts import HierarchicalPrompts
from .scoring import global_logits, local_logits, ranking_loss


class PromptEncoder(nn.Module):
    """What is trained: prompts in, category embeddings of both branches out.

    The frozen text encoder is kept out of the registered modules, so that checkpoints and DDP's buckets hold the
    prompts alone.
    """

    def __init__(self, config: WordsightConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.prompts = HierarchicalPrompts(config)
        self.embedder = CategoryEmbedder(config, text_encoder)  # no module: the text encoder stays out

    def forward(self) -> tuple[Tensor, Tensor]:
        """The prompts' embeddings (K, D) of the global and of the local branch."""
        return self.embedder.prompt_embeddings(self.prompts)


@dataclass
class TrainingState:
    """Where a run is: what a checkpoint keeps beside the tensors."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def add_noise(
    features: tuple[Tensor, Tensor, Tensor], rows: NDArray[np.int64], norm: float, seed: int, epoch: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussian noise on unit text features, made unit again (METHOD.md, section 4, "known to help").

    Each sentence's noise is drawn from its own (seed, epoch, sentence) stream, so that it is the same whichever
    process holds the sentence and whatever else is in the batch.

    Args:
        features: pooled (B, D), tokens (B, L, D), mask (B, L).
        rows: (B,) numbers of the sentences.
        norm: expected norm of the noise; features have norm 1.
        seed: seed of the run.
        epoch: number of the epoch.
    """
    pooled, tokens, mask = features
    if norm == 0:
        return features
    width = pooled.shape[-1]
    noise = np.zeros((len(rows), 1 + tokens.shape[1], width), dtype=np.float32)
    for position, (row, length) in enumerate(zip(rows, mask.sum(dim=1).tolist(), strict=True)):
        generator = np.random.default_rng([seed, epoch, int(row)])
        noise[position, : 1 + length] = generator.standard_normal((1 + length, width), dtype=np.float32)
    drawn = torch.from_numpy(noise).to(pooled.device) * (norm / width**0.5)
    return (
        nn.functional.normalize(pooled + drawn[:, 0], dim=-1),
        nn.functional.normalize(tokens + drawn[:, 1:], dim=-1),
        mask,
    )


def checkpoints(out: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    found = [path for path in out.glob("checkpoint-*") if path.suffix != ".partial"]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


class PromptTrainer:
    """Learns the prompts of one model.

    Sentence features are sharded: process r of W holds sentences r, r + W, ... Each step draws one global batch, every
    process takes those of its sentences that are in it, and losses are sums divided by the global batch's size. So the
    result is the same on any number of processes, up to rounding, also when the last batch is small.

    Args:
        model_config: the model to be.
        training_config: how to train.
        texts: the sentences.
        text_encoder: the frozen text encoder.
        accelerator: processes, device, precision and trackers.
        out: folder for checkpoints (and, in the end, the model).
        base: prompts of a model with fewer categories to go on from; only new categories' own tokens are learned.
    """

    def __init__(
        self,
        model_config: WordsightConfig,
        training_config: TrainingConfig,
        texts: TrainingTexts,
        text_encoder: TextEncoder,
        accelerator: Accelerator,
        out: Path,
        base: HierarchicalPrompts | None = None,
    ) -> None:
        self.model_config, self.config, self.texts = model_config, training_config, texts
        self.accelerator, self.out = accelerator, out
        self.text_encoder = text_encoder.to(accelerator.device)
        network = PromptEncoder(model_config, self.text_encoder)
        template = text_encoder.tokenizer(training_config.template, add_special_tokens=False)["input_ids"]
        generator = torch.Generator().manual_seed(training_config.seed)
        for branch in (network.prompts.global_branch, network.prompts.local_branch):
            branch.initialise(text_encoder.embedding, template, generator)
        if not any(parameter.numel() for parameter in network.parameters()):
            raise InvalidInputError("All token counts are 0: nothing to learn. Give at least one level tokens.")
        if base is not None:
            network.prompts.adopt(base)
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not trainable:
            raise InvalidInputError("The model has no tokens of a category's own: nothing to learn for new ones.")
        optimizer = torch.optim.AdamW(
            trainable, lr=training_config.learning_rate, weight_decay=training_config.weight_decay
        )
        self.steps_per_epoch = -(-len(texts.train_texts) // training_config.batch_size)
        steps = self.steps_per_epoch * training_config.epochs
        self.scheduler = get_cosine_schedule_with_warmup(optimizer, round(training_config.warmup_ratio * steps), steps)
        self.network, self.optimizer = accelerator.prepare(network, optimizer)
        accelerator.register_for_checkpointing(self.scheduler)
        self.state = TrainingState()

    @property
    def prompts(self) -> HierarchicalPrompts:
        """The prompts as learned so far."""
        network: PromptEncoder = self.accelerator.unwrap_model(self.network)
        return network.prompts

    def train(self, resume: bool = False) -> dict[str, Any]:
        """Runs all epochs that are left; a checkpoint is written after each.

        Args:
            resume: whether to go on from the last checkpoint in `out`, if there is one.

        Returns:
            The training log: "training", the settings; "history", one record an epoch (epoch, loss, learning_rate,
            validation_map); "validation_ap", average precision on held-out sentences by category, where one has it.
        """
        if resume:
            self._load_checkpoint()
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = self.texts.train_texts[rank::world]
        features = sentence_features(mine, self.text_encoder, progress=self.accelerator.is_main_process)
        validation = sentence_features(self.texts.validation_texts[rank::world], self.text_encoder, progress=False)
        with progress_bar(
            "Learning prompts",
            total=self.steps_per_epoch * self.config.epochs,
            unit="step",
            enabled=self.accelerator.is_main_process,
            initial=self.steps_per_epoch * self.state.epoch,
        ) as bar:
            for epoch in range(self.state.epoch, self.config.epochs):
                loss = self._train_epoch(epoch, features, bar)
                logits = self.validation_logits(validation)
                record = {
                    "epoch": epoch + 1,
                    "loss": loss,
                    "learning_rate": self.scheduler.get_last_lr()[0],
                    "validation_map": mean_average_precision(logits, self.texts.validation_labels),
                }
                bar.set_postfix(loss=f"{loss:.3f}", val_mAP=f"{record['validation_map']:.3f}", refresh=False)
                self.state.history.append(record)
                self.state.epoch = epoch + 1
                self.accelerator.log({k: v for k, v in record.items() if k != "epoch"}, step=epoch + 1)
                self._save_checkpoint()
        logits, labels = self.validation_logits(validation), self.texts.validation_labels
        self.calibration = fit_calibration(logits, labels)
        precisions = zip(self.texts.names, average_precisions(logits, labels).tolist(), strict=True)
        return {
            "training": self.config.to_dict(),
            "history": self.state.history,
            "validation_ap": {name: value for name, value in precisions if not np.isnan(value)},
        }

    def _train_epoch(self, epoch: int, features: SentenceFeatures, bar: tqdm[Any]) -> float:
        """One pass over the sentences; the mean loss of a sentence."""
        config = self.config
        order = np.random.default_rng([config.seed, epoch]).permutation(len(self.texts.train_texts))
        self.network.train()
        total = torch.zeros((), device=self.accelerator.device)
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            pieces = np.array_split(batch, min(config.gradient_accumulation_steps, len(batch)))
            for number, piece in enumerate(pieces):
                # Gradients travel between processes once a step, with the last piece.
                last = number == len(pieces) - 1
                with self.accelerator.no_sync(self.network) if not last else nullcontext():
                    loss_sum = self._loss_sum(piece, epoch, features)
                    # DDP averages over processes; the loss wants the sum.
                    self.accelerator.backward(loss_sum * self.accelerator.num_processes / len(batch))
                total += loss_sum.detach()
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
            bar.update()
        return float(self.accelerator.reduce(total, "sum")) / len(order)

    def _loss_sum(self, batch: NDArray[np.int64], epoch: int, features: SentenceFeatures) -> Tensor:
        """Ranking losses of both branches, summed over those sentences of the batch that this process holds."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = batch[batch % world == rank]
        config = self.model_config
        global_categories, local_categories = (t.float() for t in self.network())
        clean = features.batch((mine // world).tolist(), self.accelerator.device)
        pooled, tokens, mask = add_noise(clean, mine, self.config.noise, self.config.seed, epoch)
        labels = torch.from_numpy(self.texts.train_labels[mine]).to(pooled.device)
        scores_global = global_logits(pooled, global_categories, config.logit_scale)
        scores_local = local_logits(tokens, local_categories, config.logit_scale, config.local_temperature_text, mask)
        return ranking_loss(scores_global, labels, config.margin, "sum") + ranking_loss(
            scores_local, labels, config.margin, "sum"
        )

    @torch.no_grad()
    def validation_logits(self, features: SentenceFeatures) -> NDArray[np.float32]:
        """Final logits (M, K) of the held-out sentences, gathered from all processes, in order."""
        self.network.eval()
        config = self.model_config
        network: PromptEncoder = self.accelerator.unwrap_model(self.network)
        global_categories, local_categories = (network.embedder.finish(t.float()) for t in network())
        count, chunks = len(features.tokens), []
        for start in range(0, count, 256):
            rows = list(range(start, min(start + 256, count)))
            pooled, tokens, mask = features.batch(rows, self.accelerator.device)
            scores_global = global_logits(pooled, global_categories, config.logit_scale)
            scores_local = local_logits(
                tokens, local_categories, config.logit_scale, config.local_temperature_text, mask
            )
            chunks.append((1 - config.local_weight) * scores_global + config.local_weight * scores_local)
        mine = torch.cat(chunks).cpu().numpy() if chunks else np.empty((0, len(config.category_names)), np.float32)
        world = self.accelerator.num_processes
        logits = np.empty(self.texts.validation_labels.shape, dtype=np.float32)
        for rank, part in enumerate(gather_object([mine])):
            logits[rank::world] = part
        return logits

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be of this run."""
        return {
            "training": self.config.to_dict(),
            "encoder": [self.model_config.encoder, self.model_config.encoder_revision],
            "categories": self.model_config.category_names,
            "groups": [self.model_config.attribute_groups, self.model_config.cooccurrence_groups],
            "tokens": self.prompts.num_tokens(),
            "sentences": fingerprint("\n".join(self.texts.train_texts).encode()),
        }

    def _save_checkpoint(self) -> None:
        """Writes `checkpoint-<epoch>`, whole or not at all, then drops the one before."""
        target = self.out / f"checkpoint-{self.state.epoch}"
        partial = target.with_name(target.name + ".partial")
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        with writing(target, "go on with --resume"):
            self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            state = {"epoch": self.state.epoch, "history": self.state.history, "settings": self._settings()}
            (partial / "trainer_state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            for other in checkpoints(self.out)[:-1]:
                shutil.rmtree(other)
        self.accelerator.wait_for_everyone()

    def _load_checkpoint(self) -> None:
        found = checkpoints(self.out)
        if not found:
            return
        state = json.loads((found[-1] / "trainer_state.json").read_text(encoding="utf-8"))
        settings = self._settings()
        differing = sorted(key for key in settings if state["settings"].get(key) != settings[key])
        if differing:
            raise InvalidInputError(
                f"{found[-1]} is of a run with other settings ({', '.join(differing)}). Give the settings of that "
                "run, or start anew without --resume."
            )
        self.accelerator.load_state(str(found[-1]))
        self.state = TrainingState(state["epoch"], state["history"])

    def model(self) -> WordsightForMultiLabelImageClassification:
        """The finished model, on the CPU, with its image encoder."""
        scale, threshold = self.calibration
        self.model_config.score_scale, self.model_config.score_threshold = scale.tolist(), threshold.tolist()
        image_encoder = load_image_encoder(
            self.model_config.encoder,
            patch_embeddings=self.model_config.patch_embeddings,
            revision=self.model_config.encoder_revision,
        )
        model = WordsightForMultiLabelImageClassification(self.model_config, image_encoder)
        model.prompts.load_state_dict({key: value.cpu() for key, value in self.prompts.state_dict().items()})
        model.update_category_embeddings(self.text_encoder.cpu())
        return model.eval()
