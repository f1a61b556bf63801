"""The baselines that a model is measured against: each has its own category embeddings, for the same encoder."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError

from ..category_embeddings import CategoryEmbedder, zero_shot_embeddings
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..scoring import global_logits, local_logits, mix_branches
from ..sentence_memory import pull
from ..training.settings import SETTINGS, arguments_of
from .options import CHANGED_METHODS, CORRELATIVE_METHODS, LEARNED_BASELINES, SENTENCE_BASELINES
from .photo_settings import other_encoder

if TYPE_CHECKING:
    from ..encoders import ImageEncoder, TextEncoder

CORRELATIVE_WEIGHT = 0.5  # where a model has none of its own


@dataclass(frozen=True)
class Method:
    """A way to score photos.

    Attributes:
        name: as in the table.
        global_embeddings: (K, D), unit vectors.
        local_embeddings: (K, D), or None for the global branch alone.
        thresholds: (K,) logits at which a category counts as found, where the method has them.
        model: of the method "learned", the model that it is, with all that its checkpoint has besides embeddings.
        encoder: the image encoder that photos go through, where it is not the measured model's.
        fitted_for: of the method "gda", the model whose scores a classifier of the measured photos is mixed into.
        memory: (M, D) sentence features that photos' features are pulled towards, where the method has them.
        memory_weight: how far (see `pull`); 1 replaces features by what the memory says of them.
        local_temperature: beta over patches; by default the measured model's.
        graph: where the model was exported, what onnxruntime computes: its scores are measured in place of the model's.
    """

    name: str
    global_embeddings: Tensor
    local_embeddings: Tensor | None = None
    thresholds: Tensor | None = None
    model: WordsightForMultiLabelImageClassification | None = None
    fitted_for: WordsightForMultiLabelImageClassification | None = None
    encoder: ImageEncoder | None = None
    memory: Tensor | None = None
    memory_weight: float = 1.0
    local_temperature: float | None = None
    graph: WordsightForMultiLabelImageClassification | None = None

    def to(self, like: Tensor) -> Method:
        """The method with its tensors of a tensor's device and type."""
        names = ("global_embeddings", "local_embeddings", "memory")
        return replace(self, **{name: old.to(like) for name in names if (old := getattr(self, name)) is not None})

    def logits(self, pooled: Tensor, patches: Tensor, model: WordsightForMultiLabelImageClassification) -> Tensor:
        """Logits (B, K) of photos, with the model's temperatures and branch weight.

        Args:
            pooled: (B, D), unit vectors.
            patches: (B, P, D), unit vectors.
            model: whose settings to take.
        """
        if self.model is not None:
            in_global, in_local, _ = self.model.branch_logits(pooled, patches)
            return mix_branches(in_global, in_local, self.model.config.local_weight)
        config = model.config
        if self.memory is not None:
            pooled, patches = (pull(features, self.memory, self.memory_weight) for features in (pooled, patches))
        scores = global_logits(pooled, self.global_embeddings, config.logit_scale)
        if self.local_embeddings is None:
            return scores
        beta = config.local_temperature_image if self.local_temperature is None else self.local_temperature
        local = local_logits(patches, self.local_embeddings, config.logit_scale, beta)
        return mix_branches(scores, local, config.local_weight)


def clip_templates() -> tuple[str, ...]:
    """CLIP's 80 prompt templates for ImageNet (github.com/openai/CLIP, notebooks, MIT)."""
    return tuple((files(__package__) / "clip_templates.txt").read_text(encoding="utf-8").split("\n")[:80])


class MethodFactory:
    """Makes methods for a model, on its encoder and for its categories.

    Args:
        model: the model that is measured.
        folder: its folder, where the settings of its training stand, if it is a local one.
        text_encoder: the text half of its encoder.
        texts: folder of sentences for the learned baselines.
        baselines: folder where learned baselines are kept.
    """

    def __init__(
        self,
        model: WordsightForMultiLabelImageClassification,
        text_encoder: TextEncoder,
        *,
        folder: Path | None = None,
        texts: Path | None = None,
        baselines: Path | None = None,
    ) -> None:
        self.model, self.text_encoder = model, text_encoder
        self.folder, self.texts, self.baselines = folder, texts, baselines
        self._zero_shot_80: dict[bool, Tensor] = {}

    def make(self, name: str) -> Method:
        """The method of that name (see `METHODS`).

        Raises:
            InvalidInputError: a learned baseline, and no sentences to learn it from; or the model has nothing that the
                method changes.
        """
        if name in SENTENCE_BASELINES:
            return self._sentence_baseline(name)
        if name in LEARNED_BASELINES:
            return self._learned_baseline(name)
        if name.startswith("zero-shot"):
            return self._zero_shot(name)
        own_global, own_local = (
            F.normalize(embeddings.detach(), dim=-1)
            for embeddings in (self.model.global_embeddings, self.model.local_embeddings)
        )
        if name == "learned":
            option = self.model.config.score_standardization
            thresholds = torch.tensor(self.model.config.score_threshold) if option == "none" else None
            return Method(name, own_global, own_local, thresholds, self.model)
        if name == "gda":
            return Method(name, own_global, own_local, fitted_for=self.model, **self._own_memory())
        if name == "learned-global":
            return Method(name, own_global, **self._own_memory())
        if name in CHANGED_METHODS:
            encoder = other_encoder(name, self.model)
            own = self._correlative() if name in CORRELATIVE_METHODS else (own_global, own_local)
            return Method(name, *own, encoder=encoder, **self._own_memory())
        embedder = CategoryEmbedder(self.model.config, self.text_encoder)
        if name == "prompts":
            with torch.no_grad():
                return Method(name, *embedder.prompt_embeddings(self.model.prompts))
        named = embedder.finish(torch.zeros_like(own_global) if self.model.config.prior_weight else self._names(1))
        return Method(name, named, named)

    def _correlative(self) -> tuple[Tensor, Tensor]:
        """The model's embeddings (K, D) with correlative prompts in them."""
        config = copy.deepcopy(self.model.config)
        config.correlative_weight = CORRELATIVE_WEIGHT
        embedder = CategoryEmbedder(config, self.text_encoder)
        if (config.provenance or {}).get("training_sentences"):
            return embedder(self.model.prompts)
        named = embedder.names_only()
        return named, named

    def _own_memory(self) -> dict[str, Any]:
        """The model's memory of sentences, if it has one."""
        config = self.model.config
        if not config.memory_size:
            return {}
        return {"memory": F.normalize(self.model.memory, dim=-1), "memory_weight": config.memory_weight}

    def _names(self, templates: int, synonyms: bool = False) -> Tensor:
        """Zero-shot embeddings (K, D) of the names in one template or in CLIP's 80, which takes long enough to keep."""
        categories = self.model.config.categories
        if not synonyms:
            categories = [replace(category, synonyms=()) for category in categories]
        if templates == 1:
            return zero_shot_embeddings(categories, self.text_encoder)
        kept = self._zero_shot_80.get(synonyms)
        if kept is None:
            kept = self._zero_shot_80[synonyms] = zero_shot_embeddings(categories, self.text_encoder, clip_templates())
        return kept

    def _zero_shot(self, name: str) -> Method:
        embeddings = self._names(80 if "80" in name else 1, synonyms="synonyms" in name)
        return Method(name, embeddings, None if name in ("zero-shot", "zero-shot-80") else embeddings)

    def _sentence_baseline(self, name: str) -> Method:
        """A baseline made of the sentences' features, which the cache has if the model was learned from them."""
        from ..training.classifier import MEMORY_WEIGHT, train_classifier
        from ..training.concepts import class_concepts
        from ..training.labeled_features import LabeledFeatures

        config, learns = self.model.config, name == "comc"
        sentences = LabeledFeatures.read(
            self._needs_texts(name), config.categories, self.text_encoder, templates=learns
        )
        if not learns:
            concepts = class_concepts(sentences, missing=self._names(1))
            return Method(name, concepts, concepts, memory=sentences.memory())
        weight = train_classifier(sentences, logit_scale=config.logit_scale, margin=config.margin)
        return Method(
            name, weight, weight, memory=sentences.memory(), memory_weight=MEMORY_WEIGHT, local_temperature=0.0
        )

    def _needs_texts(self, name: str) -> Path:
        if self.texts is None:
            raise InvalidInputError(
                f"The method {name!r} needs sentences. Pass the folder that `wordsight describe` wrote as --texts DIR."
            )
        return self.texts

    def _learned_baseline(self, name: str) -> Method:
        """A baseline as in its paper, learned from the same sentences with the model's settings; kept once learned."""
        from ..training.arguments import TOKEN_FIELDS
        from ..training.train import train_prompts

        texts = self._needs_texts(name)
        assert self.baselines is not None
        settings = self._training() | {"prior_weight": 0.0, "mean_shift": False}
        made_from = [name, self.model.config.encoder, str(texts.resolve()), settings]
        out = self.baselines / f"{name}-{fingerprint(json.dumps(made_from).encode())[:12]}"
        if (out / "config.json").is_file():
            baseline = WordsightForMultiLabelImageClassification.from_pretrained(
                out, image_encoder=self.model.image_encoder
            )
        else:
            args = arguments_of(settings, out, **dict(zip(TOKEN_FIELDS, LEARNED_BASELINES[name], strict=True)))
            plain = {"score_standardization": "none"}
            baseline = train_prompts(texts, out, self.model.config.encoder, args=args, resume=True, config_fields=plain)
        if baseline.config.category_names != self.model.config.category_names:
            raise InvalidInputError(f"The sentences in {texts} are about other categories than the model's.")
        return Method(
            name,
            F.normalize(baseline.global_embeddings.detach(), dim=-1),
            F.normalize(baseline.local_embeddings.detach(), dim=-1),
            torch.tensor(baseline.config.score_threshold),
        )

    def _training(self) -> dict[str, Any]:
        log = self.folder / "training_log.json" if self.folder else None
        if log is None or not log.is_file():
            return {}
        training = json.loads(log.read_text(encoding="utf-8"))["training"]
        return {name: value for name, value in training.items() if name in SETTINGS}
