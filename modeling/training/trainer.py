"""The training loop: prompts of both branches, learned from sentences, on any number of processes."""

from __future__ import annotations

import json
import shutil
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

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.progress import progress_bar

from ..calibration import fit_calibration
from ..category_embeddings import CategoryEmbedder
from ..configuration_wordsight import WordsightConfig
from ..encoders import TextEncoder, load_image_encoder
from ..evaluation.metrics import average_precisions, mean_average_precision
from ..memory import Pieces
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..prompts import HierarchicalPrompts
from ..scoring import global_logits, ranking_loss, token_logits
from ..text_features import SentenceFeatures
from .arguments import TrainingConfig
from .data import TrainingTexts
from .features import cached_features

# What only says how a step is cut up, not what comes out of it: a resumed run may have other values.
FREE_TO_CHANGE = ("gradient_accumulation_steps", "prompt_chunk_size")


class PromptEncoder(nn.Module):
    """What is trained: prompts in, category embeddings of both branches out.

    The frozen text encoder is kept out of the registered modules, so that checkpoints and DDP's buckets hold the
    prompts alone.
    """

    def __init__(self, config: WordsightConfig, text_encoder: TextEncoder, chunk_size: int) -> None:
        super().__init__()
        self.prompts = HierarchicalPrompts(config)
        self.embedder = CategoryEmbedder(config, text_encoder, chunk_size)  # no module: the text encoder stays out

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
        features: pooled (B, D), tokens (T, D), numbers of tokens (B,).
        rows: (B,) numbers of the sentences.
        norm: expected norm of the noise; features have norm 1.
        seed: seed of the run.
        epoch: number of the epoch.
    """
    pooled, tokens, lengths = features
    if norm == 0 or not len(rows):
        return features
    width = pooled.shape[-1]
    drawn = [
        np.random.default_rng([seed, epoch, int(row)]).standard_normal((1 + length, width), dtype=np.float32)
        for row, length in zip(rows, lengths.tolist(), strict=True)
    ]
    scale = norm / width**0.5
    of_pooled = torch.from_numpy(np.stack([noise[0] for noise in drawn])).to(pooled.device)
    of_tokens = torch.from_numpy(np.concatenate([noise[1:] for noise in drawn])).to(pooled.device)
    return (
        nn.functional.normalize(pooled + scale * of_pooled, dim=-1),
        nn.functional.normalize(tokens + scale * of_tokens, dim=-1),
        lengths,
    )


def checkpoints(out: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    found = [path for path in out.glob("checkpoint-*") if path.suffix != ".partial"]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


class PromptTrainer:
    """Learns the prompts of one model.

    Sentences are dealt out: process r of W takes sentences r, r + W, ... Each step draws one global batch, every
    process takes those of its sentences that are in it, and losses are sums divided by the global batch's size. So the
    result is the same on any number of processes, up to rounding, also when the last batch is small. The sentences'
    features are read from the feature cache; a step costs the K prompts' way through the text encoder and back.

    Args:
        model_config: the model to be.
        training_config: how to train.
        texts: the sentences.
        text_encoder: the frozen text encoder.
        accelerator: processes, device, precision and trackers.
        out: folder for checkpoints (and, in the end, the model).
        base: prompts of a model with fewer categories to go on from; only new categories' own tokens are learned.
        feature_cache: folder of the feature cache; by default in wordsight's own cache.
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
        feature_cache: Path | None = None,
    ) -> None:
        self.feature_cache = feature_cache
        self.model_config, self.config, self.texts = model_config, training_config, texts
        self.accelerator, self.out = accelerator, out
        self.text_encoder = text_encoder.to(accelerator.device)
        network = PromptEncoder(model_config, self.text_encoder, training_config.prompt_chunk_size)
        template = text_encoder.tokenizer(training_config.template, add_special_tokens=False)["input_ids"]
        generator = torch.Generator().manual_seed(training_config.seed)
        for branch in (network.prompts.global_branch, network.prompts.local_branch):
            branch.initialize(text_encoder.embedding, template, generator)
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
        unique = sorted({*texts.train_texts, *texts.validation_texts})
        row_of = {text: row for row, text in enumerate(unique)}
        self._unique_texts = unique
        self._train_rows = np.array([row_of[text] for text in texts.train_texts])
        self._validation_rows = np.array([row_of[text] for text in texts.validation_texts])
        self._pieces = Pieces("sentences")

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
            validation_map); "validation_ap", average precision on held-out sentences by category, where one has it;
            "example_sentences", some of those that mention a category.
        """
        if resume:
            self._load_checkpoint()
        features = self.load_features()
        if self.accelerator.device.type != "cpu":
            self.fit_to_memory(features)
        with progress_bar(
            "Learning prompts",
            total=self.steps_per_epoch * self.config.epochs,
            unit="step",
            enabled=self.accelerator.is_main_process,
            initial=self.steps_per_epoch * self.state.epoch,
        ) as bar:
            for epoch in range(self.state.epoch, self.config.epochs):
                loss = self._train_epoch(epoch, features, bar)
                logits = self.validation_logits(features)
                record = {
                    "epoch": epoch + 1,
                    "loss": loss,
                    "learning_rate": self.scheduler.get_last_lr()[0],
                    "validation_map": mean_average_precision(logits, self.texts.validation_labels),
                }
                bar.set_postfix_str(f"loss {loss:.3f}, validation mAP {record['validation_map']:.3f}", refresh=False)
                self.state.history.append(record)
                self.state.epoch = epoch + 1
                self.accelerator.log({k: v for k, v in record.items() if k != "epoch"}, step=epoch + 1)
                self._save_checkpoint()
        logits, labels = self.validation_logits(features), self.texts.validation_labels
        with progress_bar("Fitting thresholds", enabled=self.accelerator.is_main_process):
            self.calibration = fit_calibration(logits, labels)
        precisions = zip(self.texts.names, average_precisions(logits, labels).tolist(), strict=True)
        return {
            "training": self.config.to_dict(),
            "history": self.state.history,
            "validation_ap": {name: value for name, value in precisions if not np.isnan(value)},
            "example_sentences": self.texts.examples(),
        }

    def load_features(self) -> SentenceFeatures:
        """Features of all sentences, each once, in alphabetical order: the same ones whatever the split's seed."""
        return cached_features(self._unique_texts, self.text_encoder, self.accelerator, self.feature_cache)

    def fit_to_memory(self, features: SentenceFeatures) -> None:
        """Tries a step with the longest sentences; halves what goes through at once as long as memory runs out.

        Each process finds its own sizes; they change no result beyond rounding.
        """
        lengths = np.diff(features.offsets)[self._train_rows]
        mine = np.arange(self.accelerator.process_index, len(lengths), self.accelerator.num_processes)
        share = -(-self.config.batch_size // self.accelerator.num_processes)
        longest = mine[np.argsort(-lengths[mine], kind="stable")[:share]]
        categories = len(self.model_config.category_names)
        chunk = min(self.config.prompt_chunk_size or categories, categories)
        layout = self.accelerator.unwrap_model(self.network).embedder.layout

        def rehearse(some: slice) -> None:
            if self._pieces.size is not None:
                layout.resize_chunks(max(1, chunk * self._pieces.size // len(longest)))
            with self.accelerator.no_sync(self.network):
                self._backward(longest[some], len(longest), 0, features)
            self.optimizer.zero_grad()

        self._pieces(rehearse, len(longest))

    def _train_epoch(self, epoch: int, features: SentenceFeatures, bar: tqdm[Any]) -> float:
        """One pass over the sentences; the mean loss of a sentence."""
        config, world = self.config, self.accelerator.num_processes
        order = np.random.default_rng([config.seed, epoch]).permutation(len(self.texts.train_texts))
        self.network.train()
        total = torch.zeros((), device=self.accelerator.device)
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            total += self._backward(batch[batch % world == self.accelerator.process_index], len(batch), epoch, features)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
            bar.update()
        return float(self.accelerator.reduce(total, "sum")) / len(order)

    def _backward(self, mine: NDArray[np.int64], count: int, epoch: int, features: SentenceFeatures) -> Tensor:
        """Gradients of one step; the sum of the losses of this process's sentences.

        The prompts go through the text encoder and back once, however many pieces the sentences are cut into.

        Args:
            mine: sentences of the batch that are this process's.
            count: sentences of the batch, over all processes.
            epoch: number of the epoch.
            features: of all sentences.
        """
        embeddings = self.network()
        leaves = [branch.detach().float().requires_grad_() for branch in embeddings]
        total = torch.zeros((), device=self.accelerator.device)
        size = min(-(-len(mine) // self.config.gradient_accumulation_steps), self._pieces.size or len(mine))
        for start in range(0, len(mine), max(size, 1)):
            loss = self._loss_sum(mine[start : start + size], epoch, features, *leaves)
            # DDP averages over processes; the loss wants the sum.
            self.accelerator.backward(loss * (self.accelerator.num_processes / count))
            total += loss.detach()
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
        torch.autograd.backward(
            embeddings, [gradient.to(of) for gradient, of in zip(gradients, embeddings, strict=True)]
        )
        return total

    def _loss_sum(
        self, mine: NDArray[np.int64], epoch: int, features: SentenceFeatures, in_global: Tensor, in_local: Tensor
    ) -> Tensor:
        """Ranking losses of both branches, summed over some sentences.

        Args:
            mine: numbers of the sentences.
            epoch: number of the epoch.
            features: of all sentences.
            in_global: (K, D) category embeddings of the global branch.
            in_local: (K, D) of the local branch.
        """
        config = self.model_config
        clean = features.batch(self._train_rows[mine], self.accelerator.device)
        noisy = add_noise(clean, mine, self.config.noise, self.config.seed, epoch)
        labels = torch.from_numpy(self.texts.train_labels[mine]).to(in_global.device)
        scores_global, scores_local = self._scores(noisy, in_global, in_local)
        return ranking_loss(scores_global, labels, config.margin, "sum") + ranking_loss(
            scores_local, labels, config.margin, "sum"
        )

    def _scores(
        self, features: tuple[Tensor, Tensor, Tensor], in_global: Tensor, in_local: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, K) of sentences' features in both branches."""
        config, (pooled, tokens, lengths) = self.model_config, features
        return (
            global_logits(pooled, in_global, config.logit_scale),
            token_logits(tokens, lengths, in_local, config.logit_scale, config.local_temperature_text),
        )

    @torch.no_grad()
    def validation_logits(self, features: SentenceFeatures) -> NDArray[np.float32]:
        """Final logits (M, K) of the held-out sentences, gathered from all processes, in order."""
        self.network.eval()
        config = self.model_config
        network: PromptEncoder = self.accelerator.unwrap_model(self.network)
        global_categories, local_categories = (network.embedder.finish(t.float()) for t in network())
        rows, chunks = self._validation_rows[self.accelerator.process_index :: self.accelerator.num_processes], []
        for start in range(0, len(rows), 256):
            batch = features.batch(rows[start : start + 256], self.accelerator.device)
            scores_global, scores_local = self._scores(batch, global_categories, local_categories)
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
            "training": {key: value for key, value in self.config.to_dict().items() if key not in FREE_TO_CHANGE},
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
