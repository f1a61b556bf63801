"""Configuration of a wordsight model: which encoder, which categories, which prompt tokens, how scores are made."""

# No postponed annotations here: @strict checks the types of fields only when they are real types.
import math
import os
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from wordsight.description_gen.categories import Category
from wordsight.utils.errors import InvalidInputError
from wordsight.version import __version__

from .imagenet_variants import IMAGENET_VARIANTS, ImageNetVariant

TASK = "multi-label-image-classification"
# Of checkpoints. 1 (wordsight 0.1) did not say so, and its configs lack what this one fills in by default.
# 2 (0.2) has other names for two fields and for the ImageNet encoder.
FORMAT_VERSION = 3
OLD_FIELDS = {"num_global_tokens": "num_shared_tokens", "score_option": "score_standardization"}
# False in the copy of this file that goes with a pushed model, for people who have not installed wordsight.
INSTALLED = __name__.startswith("wordsight.")


@strict
class WordsightConfig(PreTrainedConfig):
    """Everything about a wordsight checkpoint that is not a tensor; a person can read it.

    The prompt of category i is `[SOS] [global tokens] [tokens of its attribute group] [tokens of its co-occurrence
    group] [its own tokens] [its name] [EOS]`, once per branch (global, local). Any number of tokens may be 0:
    (16, 0, 0, 0) is TaI-DPT (arXiv 2211.12739), (0, 0, 0, 16) class-specific CoOp (arXiv 2109.01134).

    Args:
        encoder: Hub id or path of the frozen image-text encoder, or "imagenet" or "imagenet-lite2" for those built from
            PyPI packages.
        encoder_revision: its revision on the Hub.
        patch_embeddings: for ViT encoders, "value" takes the last block's value path as patch embeddings (MaskCLIP,
            arXiv 2112.01071), "correlative" its attention of queries to queries and of keys to keys (SCLIP, arXiv
            2312.01597), "plain" the last layer's own output.
        image_size: side of the square that photos become for the encoder, in pixels: a multiple of its patch size, for
            which position embeddings are interpolated. None for the encoder's own.
        whole_photo: whether the whole photo becomes that square, and not its middle; some encoders always take it all.
        prompt_width: width d of the text encoder's input embeddings, and so of a prompt token.
        projection_dim: width D of the space that texts and images share.
        synonyms: category name -> other names of it.
        descriptions: category name -> what is meant, where the name means several things.
        num_shared_tokens: tokens shared by all categories.
        num_attribute_tokens: tokens of each attribute group.
        num_cooccurrence_tokens: tokens of each co-occurrence group.
        num_category_tokens: tokens of each category alone.
        attribute_groups: categories that look alike, as lists of names; each category in exactly one. None: one group.
        cooccurrence_groups: categories seen together, likewise.
        prior_weight: weight of the zero-shot embedding of a category's name and synonyms beside its prompt's.
        mean_shift: whether what all categories have in common is taken out of their embeddings.
        cooccurring_categories: category name -> the one or two others that are most often in the same photo.
        correlative_weight: weight of the embedding of "A photo of a {name} often includes a {other}, a {other}." beside
            a category's own (DualPrompt, ICLR 2026); 0 for none.
        logit_scale: tau, the factor from cosine to logit.
        local_temperature_text: beta of the softmax over a sentence's tokens.
        local_temperature_image: beta of the softmax over a photo's patches; 0 takes the best patch.
        head: what category embeddings are made of: "prompts", or "comc", a linear classifier trained on sentences'
            features (CoMC, openreview sHswzNWUW2), which is the embeddings of both branches.
        memory_weight: how far photos' features are pulled towards sentences before they are scored (CoMC: 0.3).
        memory_size: number of sentence features in the checkpoint, which they are pulled towards; set by training.
        local_weight: weight of the local branch in the final logit; the global branch has the rest.
        margin: margin of the ranking loss.
        score_scale: per category, a in score = sigmoid(a * (logit - threshold)); set by calibration.
        score_threshold: per category, the logit at which its score is 0.5; set by calibration.
        score_standardization: "none", or SPARC's (arXiv 2502.16911) steps, each with those before it: "images" takes
            each photo's own level and spread over categories out of its logits, "categories" each category's level and
            spread over photos (`wordsight calibrate` finds them on unlabeled photos), "sparc" mixes in scores of
            compound prompts ("a cat and a dog").
        compounds: the sets of categories that compound prompts name.
        calibration_photos: number of unlabeled photos behind the score statistics in the checkpoint.
        photo_classifier_weight: what the classifier that `wordsight calibrate --method gda` found on unlabeled photos
            counts beside the scores of both branches; 0 where there is none.
        tiles: whether the pipeline looks at parts of a photo as well: "off", "auto" or "fine" (see `plan_tiles`).
        provenance: where the training sentences come from (LLM, seed, numbers, dataset).
        wordsight_version: version that wrote the checkpoint.
        format_version: format of the checkpoint.

    Raises:
        StrictDataclassError: (from huggingface_hub) a value is invalid; the message names the field.

    Example:
        >>> from wordsight import WordsightConfig
        >>> groups = [["cat", "dog"], ["sofa"]]
        >>> config = WordsightConfig(id2label={0: "cat", 1: "dog", 2: "sofa"}, attribute_groups=groups)
        >>> config.group_index("attribute_groups")
        [0, 0, 1]
    """

    model_type = "wordsight"

    encoder: str = "imagenet"
    encoder_revision: str | None = None
    patch_embeddings: Literal["value", "correlative", "plain"] = "value"
    image_size: int | None = None
    whole_photo: bool = False
    prompt_width: int = 512
    projection_dim: int = 512
    synonyms: dict[str, list[str]] | None = None
    descriptions: dict[str, str] | None = None
    num_shared_tokens: int = 4
    num_attribute_tokens: int = 4
    num_cooccurrence_tokens: int = 4
    num_category_tokens: int = 4
    attribute_groups: list[list[str]] | None = None
    cooccurrence_groups: list[list[str]] | None = None
    prior_weight: float | int = 0.0
    mean_shift: bool = False
    cooccurring_categories: dict[str, list[str]] | None = None
    correlative_weight: float | int = 0.0
    logit_scale: float | int = 4.0
    local_temperature_text: float | int = 1 / 50
    local_temperature_image: float | int = 1 / 40
    head: Literal["prompts", "comc"] = "prompts"
    memory_weight: float | int = 0.0
    memory_size: int = 0
    local_weight: float | int = 0.5
    margin: float | int = 1.0
    score_scale: list[float] | None = None
    score_threshold: list[float] | None = None
    score_standardization: Literal["none", "images", "categories", "sparc"] = "none"
    compounds: list[list[str]] | None = None
    calibration_photos: int = 0
    photo_classifier_weight: float | int = 0.0
    tiles: Literal["off", "auto", "fine"] = "off"
    provenance: dict[str, Any] | None = None
    wordsight_version: str = __version__
    format_version: int = FORMAT_VERSION

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> "WordsightConfig":
        """As in transformers, for any format up to this wordsight's.

        Raises:
            InvalidInputError: the checkpoint is of a newer format; the message says which version reads it.
        """
        found = config_dict.get("format_version", 1)
        if not isinstance(found, int) or found > FORMAT_VERSION:
            needed = config_dict.get("wordsight_version", "the newest")
            raise InvalidInputError(
                f"This checkpoint has format {found}, and wordsight {__version__} reads up to {FORMAT_VERSION}. "
                f"It needs wordsight {needed} or newer: pip install --upgrade wordsight."
            )
        fields = {OLD_FIELDS.get(name, name): value for name, value in config_dict.items()}
        return super().from_dict(fields | {"format_version": FORMAT_VERSION}, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """As in transformers, in this wordsight's format."""
        self.wordsight_version, self.format_version = __version__, FORMAT_VERSION
        super().save_pretrained(save_directory, *args, **kwargs)

    def __post_init__(self, **kwargs: Any) -> None:
        """Fills in what follows from other fields: `label2id`, one group where none is given, the problem type."""
        if INSTALLED:  # the code in a repository is for those who have not
            kwargs = {key: value for key, value in kwargs.items() if key not in {"auto_map", "custom_pipelines"}}
        if self.encoder == "offline":  # its name in format 2
            self.encoder = "imagenet"
        self.problem_type = self.problem_type or "multi_label_classification"
        super().__post_init__(**kwargs)
        self.label2id = {name: index for index, name in self.labels_by_index().items()}
        if self.attribute_groups is None:
            self.attribute_groups = [self.category_names]
        if self.cooccurrence_groups is None:
            self.cooccurrence_groups = [self.category_names]
        if self.synonyms is None:
            self.synonyms = {}
        if self.descriptions is None:
            self.descriptions = {}
        if self.cooccurring_categories is None:
            self.cooccurring_categories = {}
        if self.compounds is None:
            self.compounds = []
        if self.score_scale is None:
            self.score_scale = [1.0] * len(self.category_names)
        if self.score_threshold is None:
            self.score_threshold = [0.0] * len(self.category_names)

    def labels_by_index(self) -> dict[int, str]:
        """`id2label` with the keys as integers and in order."""
        labels = {int(index): name for index, name in (self.id2label or {}).items()}
        return dict(sorted(labels.items()))

    @property
    def category_names(self) -> list[str]:
        """The K category names, in the order of the logits."""
        return list(self.labels_by_index().values())

    @property
    def categories(self) -> list[Category]:
        """The K categories with their synonyms and descriptions, in the order of the logits."""
        synonyms, said = self.synonyms or {}, self.descriptions or {}
        return [Category(name, tuple(synonyms.get(name, ())), said.get(name, "")) for name in self.category_names]

    @property
    def imagenet_variant(self) -> ImageNetVariant | None:
        """Which ImageNet encoder the model is for, if any; its weights come from packages, not from the Hub."""
        return IMAGENET_VARIANTS.get(self.encoder)

    @property
    def num_prompt_tokens(self) -> int:
        """Number of learned tokens in the prompt of one category."""
        return (
            self.num_shared_tokens + self.num_attribute_tokens + self.num_cooccurrence_tokens + self.num_category_tokens
        )

    @property
    def image_encoder_settings(self) -> dict[str, Any]:
        """What the image half of the encoder is loaded with (see `load_image_encoder`)."""
        settings = {"patch_embeddings": self.patch_embeddings, "image_size": self.image_size}
        return settings | {"whole_photo": self.whole_photo, "revision": self.encoder_revision}

    def group_index(self, field: Literal["attribute_groups", "cooccurrence_groups"]) -> list[int]:
        """The group number of each of the K categories, in the order of the logits."""
        groups = getattr(self, field)
        number = {name: index for index, group in enumerate(groups) for name in group}
        return [number[name] for name in self.category_names]

    def compound_members(self) -> list[list[int]]:
        """For each of the K categories, the numbers of the compounds that name it."""
        compounds = self.compounds or []
        return [[number for number, names in enumerate(compounds) if name in names] for name in self.category_names]

    # Methods named validate_* run after construction (huggingface_hub's @strict).

    def validate_categories(self) -> None:
        """Labels are numbered 0..K-1, named, and no name stands twice."""
        labels = self.labels_by_index()
        if not labels:
            raise ValueError("id2label is empty: give at least one category.")
        if list(labels) != list(range(len(labels))):
            raise ValueError(f"id2label must be numbered 0..{len(labels) - 1}, got {list(labels)}.")
        names = list(labels.values())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"id2label names {', '.join(map(repr, twice))} more than once.")

    def validate_groups(self) -> None:
        """Each category is in exactly one group of each kind."""
        for field in ("attribute_groups", "cooccurrence_groups"):
            groups = getattr(self, field)
            members = [name for group in groups for name in group]
            known = set(self.category_names)
            problems = [
                ("not categories", sorted(set(members) - known)),
                ("in no group", sorted(known - set(members))),
                ("in more than one group", sorted({name for name in members if members.count(name) > 1})),
            ]
            for what, names in problems:
                if names:
                    raise ValueError(f"{field}: {', '.join(map(repr, names))} {what}.")
            if any(not group for group in groups):
                raise ValueError(f"{field}: a group is empty.")

    def validate_score_standardizations(self) -> None:
        """Options that need statistics of photos have them, and compounds name categories."""
        if self.score_standardization != "none" and len(self.category_names) < 2:
            raise ValueError(f"score_standardization {self.score_standardization!r} needs at least 2 categories.")
        if self.score_standardization in ("categories", "sparc") and self.calibration_photos < 2:
            raise ValueError(
                f"score_standardization {self.score_standardization!r} needs statistics of photos: run "
                "`wordsight calibrate`."
            )
        if self.score_standardization == "sparc" and not self.compounds:
            raise ValueError("score_standardization 'sparc' needs compounds, and no sentence mentioned two categories.")
        known = set(self.category_names)
        if unknown := sorted({name for names in self.compounds or () for name in names} - known):
            raise ValueError(f"compounds: {', '.join(map(repr, unknown))} not categories.")

    def validate_correlative_prompts(self) -> None:
        """The weight is a share, and what is seen together is known where it is to count."""
        if not 0 <= self.correlative_weight <= 1:
            raise ValueError(f"correlative_weight must be between 0 and 1, got {self.correlative_weight}.")
        together, known = self.cooccurring_categories or {}, set(self.category_names)
        if unknown := sorted({name for pair in together.items() for name in (pair[0], *pair[1])} - known):
            raise ValueError(f"cooccurring_categories: {', '.join(map(repr, unknown))} not categories.")
        if self.correlative_weight and not any(together.values()):
            raise ValueError(
                "correlative_weight needs cooccurring_categories, which texts bring: make the model of them."
            )

    def validate_token_counts(self) -> None:
        """No negative number of tokens, and widths that exist."""
        for field in ("num_shared_tokens", "num_attribute_tokens", "num_cooccurrence_tokens", "num_category_tokens"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must be 0 or more, got {getattr(self, field)}.")
        for field in ("prompt_width", "projection_dim", "image_size"):
            if (value := getattr(self, field)) is not None and value <= 0:
                raise ValueError(f"{field} must be positive, got {value}.")

    def validate_scores(self) -> None:
        """Temperatures and scales are positive and finite, the branch weight is a weight."""
        for field in ("logit_scale", "local_temperature_text", "local_temperature_image"):
            value, may_be_0 = getattr(self, field), field == "local_temperature_image"
            if not (math.isfinite(value) and (value > 0 or (may_be_0 and value == 0))):
                raise ValueError(f"{field} must be a positive number{' or 0' if may_be_0 else ''}, got {value}.")
        if self.memory_size < 0:
            raise ValueError(f"memory_size must be 0 or more, got {self.memory_size}.")
        if not (math.isfinite(self.prior_weight) and self.prior_weight >= 0):
            raise ValueError(f"prior_weight must be 0 or more, got {self.prior_weight}.")
        for field in ("local_weight", "memory_weight", "photo_classifier_weight"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{field} must be between 0 and 1, got {getattr(self, field)}.")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise ValueError(f"margin must be 0 or more, got {self.margin}.")
        for field in ("score_scale", "score_threshold"):
            values = getattr(self, field)
            if len(values) != len(self.category_names):
                raise ValueError(f"{field} has {len(values)} values for {len(self.category_names)} categories.")
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{field} holds a value that is not finite.")
        if not all(value > 0 for value in self.score_scale or ()):
            raise ValueError("score_scale must be positive.")
