"""The model with both halves of its encoder: what labels photos, and how its prompts become category embeddings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.utils.errors import InvalidInputError, check_not_empty
from wordsight.utils.files import CODE
from wordsight.utils.plugins import load_plugin

from .category_embeddings import CategoryEmbedder
from .encoders.loading import load_image_encoder
from .encoders.text_loading import load_text_encoder
from .modeling_inference import WordsightInferenceModel, WordsightOutput
from .prompts import HierarchicalPrompts
from .scoring import concept_loss, global_logits, token_logits

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from huggingface_hub import CommitInfo

    from wordsight.description_gen.categories import Category

    from .configuration_wordsight import WordsightConfig
    from .encoders.base import ImageEncoder, TextEncoder
    from .grouping import GroupsGiven

__all__ = ["WordsightForMultiLabelImageClassification", "WordsightOutput"]


class WordsightForMultiLabelImageClassification(WordsightInferenceModel):
    """Labels photos with learned hierarchical prompts (arXiv 2403.01209) for a frozen CLIP-like encoder.

    A checkpoint holds the prompts, the category embeddings computed from them and the image processor, but not the
    encoder, which `from_pretrained` loads by the name in the config. Labeling photos takes the image half alone; the
    text half is loaded when prompts are learned. The prompts are the only trainable parameters.

    Args:
        config: the configuration.
        image_encoder: the encoder's image half; `from_pretrained` and `from_encoder` set it.
        text_encoder: the encoder's text half; by default loaded when it is first needed.

    Example:
        >>> from wordsight import WordsightForMultiLabelImageClassification
        >>> model = WordsightForMultiLabelImageClassification.from_encoder("imagenet", ["cat", "cup, mug"])
        >>> model.config.id2label
        {0: 'cat', 1: 'cup'}
        >>> model.num_parameters(only_trainable=True)  # 2 branches x (4 + 4 + 4 + 2 x 4) tokens x 384
        15360
    """

    def __init__(
        self,
        config: WordsightConfig,
        image_encoder: ImageEncoder | None = None,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        super().__init__(config, image_encoder)
        # In a list, which torch does not search for modules: the text half is neither saved nor among the parameters.
        self._text_encoders: list[TextEncoder] = [text_encoder] if text_encoder is not None else []
        self._embedder: CategoryEmbedder | None = None

    @classmethod
    def from_encoder(
        cls,
        encoder: str,
        categories_or_texts: Sequence[str | Category] | Dataset | DatasetDict | str | Path,
        *,
        revision: str | None = None,
        groups: GroupsGiven | None = None,
        text_encoder: TextEncoder | None = None,
        seed: int = 0,
        **config_fields: Any,
    ) -> WordsightForMultiLabelImageClassification:
        """An untrained model that labels photos already, by the zero-shot embeddings of the categories' names.

        Its prompts start as a template's words; `PromptTrainer` learns them.

        Args:
            encoder: Hub id or path of a CLIP-like encoder, "imagenet-lite2" or "imagenet".
            categories_or_texts: the category names ("cup, mug" is a name and a synonym) or `Category` objects; or
                sentences with `text` and `labels`, as a dataset, a folder or a file, whose categories are taken.
            revision: the encoder's revision on the Hub.
            groups: which categories share tokens: a JSON file, or a dict with "attribute_groups" and/or
                "cooccurrence_groups". By default found from what the language model said, from the labels and from
                the names, as far as they are there.
            text_encoder: the text half of `encoder`, if it is loaded already.
            seed: of the prompts' random tokens, and of the search for groups.
            config_fields: fields of `WordsightConfig`, such as `num_category_tokens=8`.

        Raises:
            InvalidInputError: the encoder can't be loaded, or the categories, texts or groups can't be used.
            MissingDependencyError: a package is missing that only training needs.

        Example:
            >>> from wordsight import WordsightForMultiLabelImageClassification
            >>> names = ["cat, kitten", "dog", "coffee cup"]
            >>> model = WordsightForMultiLabelImageClassification.from_encoder("imagenet", names)
            >>> model.config.synonyms
            {'cat': ['kitten']}
        """
        from .untrained import encoder_reference, fit_thresholds, untrained_config

        if text_encoder is None:
            text_encoder = load_text_encoder(encoder, revision=revision)
        config, sentences = untrained_config(categories_or_texts, text_encoder, groups, seed, config_fields)
        config.encoder, config.encoder_revision = encoder_reference(encoder, revision)
        image_encoder = load_image_encoder(config.encoder, **config.image_encoder_settings)
        model = cls(config, image_encoder, text_encoder)
        model.initialize_prompts(seed=seed)
        named = model.embedder.names_only()
        model.set_embeddings(named, named)
        fit_thresholds(model, sentences, seed)
        return model.eval()

    @property
    def text_encoder(self) -> TextEncoder | None:
        """The encoder's text half, if it is loaded."""
        return self._text_encoders[0] if self._text_encoders else None

    def load_text_encoder(self) -> TextEncoder:
        """The encoder's text half, loaded if need be, on the model's device."""
        if not self._text_encoders:
            self._text_encoders.append(load_text_encoder(self.config.encoder, revision=self.config.encoder_revision))
        encoder = self._text_encoders[0]
        if next(encoder.parameters()).device != self.device:
            encoder.to(self.device)
        return encoder

    @property
    def embedder(self) -> CategoryEmbedder:
        """What makes category embeddings of prompts and names, for this configuration."""
        encoder = self.load_text_encoder()
        if self._embedder is None:
            self._embedder = CategoryEmbedder(self.config, encoder)
        return self._embedder

    def initialize_prompts(self, template: str = "a photo of a", seed: int = 0) -> None:
        """Makes new prompts of as many tokens as the configuration says, drawn anew.

        Args:
            template: words that the shared tokens start as; empty for random ones.
            seed: of the random tokens. The same on every process that is to hold the same prompts.
        """
        encoder = self.load_text_encoder()
        self._embedder = None
        self.prompts = HierarchicalPrompts(self.config).to(self.global_embeddings)
        ids = encoder.tokenizer(template, add_special_tokens=False)["input_ids"] if template else []
        generator = torch.Generator().manual_seed(seed)
        for branch in (self.prompts.global_branch, self.prompts.local_branch):
            branch.initialize(encoder.embedding, ids, generator)

    def prompt_embeddings(self) -> tuple[Tensor, Tensor]:
        """The prompts through the text encoder: (K, D) unit vectors of the global and of the local branch.

        With gradient, and without what `update_category_embeddings` adds.
        """
        return self.embedder.prompt_embeddings(self.prompts)

    @torch.no_grad()
    def update_category_embeddings(self, text_encoder: TextEncoder | None = None) -> None:
        """Computes the (K, D) category embeddings of both branches from the prompts, for photos to be compared with.

        Args:
            text_encoder: the text half of the encoder that the config names; by default loaded if need be.

        Raises:
            InvalidInputError: the model's embeddings are a trained classifier, which no prompt gives.
        """
        if self.config.head != "prompts":
            raise InvalidInputError(
                "The model's category embeddings are a classifier trained on sentences (head 'comc'), and can't be "
                "computed from prompts."
            )
        if text_encoder is not None and text_encoder is not self.text_encoder:
            self._text_encoders, self._embedder = [text_encoder], None
        self.set_embeddings(*self.embedder(self.prompts))

    @torch.no_grad()
    def set_embeddings(self, in_global: Tensor, in_local: Tensor) -> None:
        """Sets the (K, D) category embeddings of both branches, unit vectors."""
        self.global_embeddings.copy_(in_global)
        self.local_embeddings.copy_(in_local)
        if self.config.compounds:
            self.compound_embeddings.copy_(self.embedder.compounds)

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        text_embeds: Tensor | None = None,
        token_embeds: Tensor | None = None,
        token_counts: Tensor | None = None,
        concepts: Tensor | None = None,
        concept_weight: float = 0.0,
        num_items_in_batch: Tensor | int | None = None,
        output_patch_logits: bool = False,
        return_dict: bool | None = None,
        num_views: Tensor | None = None,
        whole_weights: Tensor | None = None,
    ) -> WordsightOutput | tuple[Any, ...]:
        """Scores photos, or sentences in place of photos, for all categories.

        In training mode, sentences are compared with what the prompts give now, with gradient; photos, and sentences in
        evaluation mode, with the category embeddings that `update_category_embeddings` computed.

        Args:
            pixel_values: (B, 3, H, W), from the image processor.
            labels: (B, K), 1 where a category is present; asks for the loss.
            text_embeds: (B, D), unit vectors of B sentences.
            token_embeds: (T, D), unit vectors of all their tokens, sentence after sentence.
            token_counts: (B,) tokens of each sentence, at least 1; their sum is T.
            concepts: (K, D), unit vectors that the global branch's prompts are drawn to in training (see
                `concept_loss`).
            concept_weight: what that counts beside the ranking loss of a sentence.
            num_items_in_batch: what the sum of the sentences' losses is divided by; B by default.
            output_patch_logits: whether to return the local branch at each patch of a photo as well.
            return_dict: False returns a plain tuple, as everywhere in transformers.
            num_views: (B,), how many of the `pixel_values` are each photo's views, the whole first.
            whole_weights: (B,), what the whole counts beside its tiles; goes with `num_views`.

        Raises:
            RuntimeError: photos are given and the model has no image encoder.
            ValueError: neither photos nor sentences are given.
        """
        if text_embeds is None:
            return super().forward(pixel_values, labels, output_patch_logits, return_dict, num_views, whole_weights)
        if token_embeds is None or token_counts is None:
            raise ValueError("You have to specify token_embeds and token_counts with text_embeds.")
        if self.training:
            in_global, in_local = self.prompt_embeddings()
        else:
            in_global, in_local = (F.normalize(e, dim=-1) for e in (self.global_embeddings, self.local_embeddings))
        scale, beta = self.config.logit_scale, self.config.local_temperature_text
        compounds = F.normalize(self.compound_embeddings, dim=-1) if self.config.compounds else in_global[:0]
        text_embeds, token_embeds, in_global, in_local = (
            tensor.float() for tensor in (text_embeds, token_embeds, in_global, in_local)
        )
        # In float32, also in mixed precision: the loss is a sum over many small differences.
        with torch.autocast(text_embeds.device.type, enabled=False):
            output = self.score_views(
                global_logits(text_embeds, in_global, scale),
                token_logits(token_embeds, token_counts, in_local, scale, beta),
                global_logits(text_embeds, compounds.to(text_embeds), scale),
                labels,
                num_items_in_batch,
            )
            if self.training and concepts is not None and output.loss is not None:
                # A step's parts add up to one such loss, as they add up to the mean over its sentences.
                share = len(text_embeds) / (len(text_embeds) if num_items_in_batch is None else num_items_in_batch)
                output.loss = output.loss + share * concept_weight * concept_loss(in_global, concepts.to(in_global))
        return self._returned(output, return_dict)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """Writes prompts, category embeddings, config and image processor; never the encoder.

        Code that is beside the checkpoint, here or where the model was loaded from, is written anew and goes along:
        such a folder works with `trust_remote_code=True` where wordsight is not installed.

        Args:
            save_directory: the folder, made if need be.
            kwargs: as for transformers' `save_pretrained`; with `push_to_hub=True`, those of `push_to_hub` as well.
        """
        check_not_empty(save_directory, "save_directory")
        folders = (Path(save_directory), Path(self.config.name_or_path or save_directory))
        has_code = any((folder / CODE).is_file() for folder in folders)
        super().save_pretrained(save_directory, **kwargs)
        if has_code and (write_code := load_plugin("write_code")):
            write_code(save_directory)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str | None = None,
        tags: list[str] | None = None,
    ) -> CommitInfo:
        """Pushes the model to the Hub, in one commit.

        With what `save_pretrained` writes go what the language model said, the training log, the model card, and the
        code by which the model works where wordsight is not installed.

        Args:
            repo_id: "user/name"; created if it does not exist.
            commit_message: of the commit.
            commit_description: of the commit.
            private: whether the repository is private, if it is created.
            token: a token, by default the one of `hf auth login` or `HF_TOKEN`.
            revision: branch to push to; created if it does not exist.
            create_pr: whether to open a pull request instead.
            max_shard_size: accepted as in transformers; a model of some hundred kB is one file.
            tags: tags for the model card, beside wordsight's own.

        Raises:
            HubError: the Hub refused or did not answer; the message says what to do, and whether a retry is safe.
            InvalidInputError: the model's encoder is a folder on this machine.
        """
        push_model = load_plugin("push_model")
        assert push_model is not None  # wordsight is installed: this module does not go along with a pushed model
        commit: CommitInfo = push_model(
            self,
            repo_id,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            commit_description=commit_description,
            tags=tags or (),
        )
        return commit
