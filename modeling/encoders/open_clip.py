"""open_clip checkpoints (open_clip_config.json, open_clip_model.safetensors) as CLIP models of transformers.

Their plain ViT and text transformer compute what transformers' CLIP computes, under other names: weights are renamed as
transformers' own conversion of CLIP does, and the projections of queries, keys and values parted. The names are those
of mlfoundations/open_clip, src/open_clip/model.py and transformer.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from safetensors import safe_open
from torch import Tensor
from transformers import AutoTokenizer, CLIPConfig, CLIPModel, PreTrainedModel
from transformers.models.clip import CLIPImageProcessorPil
from transformers.utils import cached_file

from wordsight.utils.errors import InvalidInputError, shortened

from .base import PatchEmbeddings, split_loading_kwargs
from .clip import CLIPImageEncoder, CLIPTextEncoder
from .halves import Half, half_class

CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"
SUPPORTED = (
    "Of open_clip's checkpoints, supported are those with a plain ViT (class token, learned positions) and CLIP's text "
    "transformer, such as ViT-B-32, ViT-B-16, ViT-L-14 and ViT-H-14"
)
# Settings and what they must be, if they are given; others than these are not understood. None: anything.
MODEL: dict[str, Any] = {"embed_dim": None, "quick_gelu": None, "vision_cfg": None, "text_cfg": None}
MODEL |= {"init_logit_scale": None, "init_logit_bias": None, "nonscalar_logit_scale": None, "custom_text": False}
TOWER: dict[str, Any] = {"width": None, "layers": None, "mlp_ratio": None, "output_tokens": None}
VISION: dict[str, Any] = TOWER | {"head_width": None, "patch_size": None, "image_size": None, "patch_dropout": None}
VISION |= {"pool_type": "tok", "pos_embed_type": "learnable"}
TEXT: dict[str, Any] = TOWER | {"heads": None, "context_length": None, "vocab_size": None}
TEXT |= {"pool_type": "argmax", "proj_type": "linear", "pad_id": None}
# Module by module, open_clip's name -> transformers' name.
VISION_NAMES = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.": "vision_model.embeddings.patch_embedding.",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "visual.proj": "visual_projection.weight",
}
TEXT_NAMES = {
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "transformer.resblocks.": "text_model.encoder.layers.",
    "ln_final.": "text_model.final_layer_norm.",
    "text_projection": "text_projection.weight",
}
BLOCK_NAMES = {
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".attn.": ".self_attn.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}
RESAMPLING = {"bilinear": 2, "bicubic": 3}  # PIL's numbers
OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class OpenCLIPTextEncoder(CLIPTextEncoder):
    """The text tower of an open_clip checkpoint."""

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> Self:
        """Loads the text half of a checkpoint; keywords as in transformers (revision, token, dtype, ...).

        Raises:
            InvalidInputError: the checkpoint is of another architecture, or has no safetensors or no tokenizer.
        """
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        config: Any = clip_config(name, read_config(name, hub_kwargs))
        model = _load(name, config, "text", model_kwargs, hub_kwargs)
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub_kwargs)
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                f"The encoder {name!r} has no tokenizer that can be loaded: {str(error).splitlines()[0]} Copy "
                "tokenizer.json and tokenizer_config.json of openai/clip-vit-base-patch32 beside its weights."
            ) from error
        return cls(model, tokenizer, max_length=config.text_config.max_position_embeddings)


class OpenCLIPImageEncoder(CLIPImageEncoder):
    """The image tower of an open_clip checkpoint."""

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: PatchEmbeddings, **kwargs: Any) -> Self:
        """Loads the image half of a checkpoint; keywords as in transformers (revision, token, dtype, ...).

        Raises:
            InvalidInputError: the checkpoint is of another architecture, or has no safetensors.
        """
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        content = read_config(name, hub_kwargs)
        config: Any = clip_config(name, content)
        model = _load(name, config, "vision", model_kwargs, hub_kwargs)
        prepared = content.get("preprocess_cfg") or {}
        return cls(model, image_processor(name, prepared, config.vision_config.image_size), patch_embeddings)


def is_open_clip(name: str, hub_kwargs: dict[str, Any]) -> bool:
    """Whether a folder or a repository has an open_clip configuration."""
    try:
        return _found(name, CONFIG_FILE, hub_kwargs) is not None
    except (OSError, ValueError):
        return False


def read_config(name: str, hub_kwargs: dict[str, Any]) -> dict[str, Any]:
    """What open_clip_config.json says."""
    path = _found(name, CONFIG_FILE, hub_kwargs)
    assert path is not None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def clip_config(name: str, content: dict[str, Any]) -> CLIPConfig:
    """An open_clip configuration as transformers'.

    Args:
        name: of the checkpoint, for errors.
        content: see `read_config`.

    Raises:
        InvalidInputError: the checkpoint is not a plain ViT with CLIP's text transformer.
    """
    model = content.get("model_cfg", {})
    vision, text = model.get("vision_cfg", {}), model.get("text_cfg", {})
    if unsupported := [*_others(model, MODEL), *_others(vision, VISION), *_others(text, TEXT)]:
        raise InvalidInputError(f"{SUPPORTED}; {name!r} has {shortened(unsupported)}.")
    for half, needed in ((vision, ("width", "layers", "patch_size", "image_size")), (text, ("width", "layers"))):
        if wrong := [key for key in needed if not isinstance(half.get(key), int)]:
            raise InvalidInputError(f"{SUPPORTED}; {CONFIG_FILE} of {name!r} gives no number as {', '.join(wrong)}.")
    activation = {"hidden_act": "quick_gelu" if model.get("quick_gelu") else "gelu"}
    return CLIPConfig(
        projection_dim=model["embed_dim"],
        vision_config=activation
        | _tower(vision, vision["width"] // vision.get("head_width", 64))
        | {"image_size": vision["image_size"], "patch_size": vision["patch_size"]},
        text_config=activation
        | _tower(text, text.get("heads", 8))
        | {
            "vocab_size": text.get("vocab_size", 49408),
            "max_position_embeddings": text.get("context_length", 77),
            # Has transformers pool at the greatest id, as open_clip does.
            "eos_token_id": 2,
            "bos_token_id": 1,
        },
    )


def convert(tensors: Iterator[tuple[str, Tensor]], half: Half) -> dict[str, Tensor]:
    """One half of an open_clip state dict under transformers' names; what is not of it is left out."""
    names = VISION_NAMES if half == "vision" else TEXT_NAMES
    converted: dict[str, Tensor] = {}
    for name, tensor in tensors:
        old = next((old for old in names if name == old or (old.endswith(".") and name.startswith(old))), None)
        if old is None:
            continue
        renamed = names[old] + name.removeprefix(old)
        if ".resblocks." in name:
            for part, new in BLOCK_NAMES.items():
                renamed = renamed.replace(part, new)
        if ".in_proj_" in renamed:
            for letter, projection in zip("qkv", tensor.chunk(3), strict=True):
                converted[renamed.replace(".in_proj_", f".{letter}_proj.")] = projection.contiguous()
        elif name in ("visual.proj", "text_projection"):  # open_clip multiplies from the right
            converted[renamed] = tensor.T.contiguous()
        else:
            converted[renamed] = tensor
    return converted


def image_processor(name: str, prepared: dict[str, Any], side: int) -> CLIPImageProcessorPil:
    """What open_clip does with a photo, as transformers' image processor.

    Args:
        name: of the checkpoint, for errors.
        prepared: `preprocess_cfg` of the configuration.
        side: pixels a side.

    Raises:
        InvalidInputError: photos are resized in a way that is not known here.
    """
    interpolation, mode = prepared.get("interpolation", "bicubic"), prepared.get("resize_mode", "shortest")
    if interpolation not in RESAMPLING or mode not in ("shortest", "squash"):
        raise InvalidInputError(
            f"The encoder {name!r} resizes photos by {interpolation!r} to {mode!r}. Supported are bicubic and "
            "bilinear; shortest and squash."
        )
    square = {"height": side, "width": side}
    return CLIPImageProcessorPil(
        size={"shortest_edge": side} if mode == "shortest" else square,
        crop_size=square,
        do_center_crop=mode == "shortest",
        resample=RESAMPLING[interpolation],
        image_mean=list(prepared.get("mean", OPENAI_MEAN)),
        image_std=list(prepared.get("std", OPENAI_STD)),
    )


def _load(
    name: str, config: CLIPConfig, half: Half, model_kwargs: dict[str, Any], hub_kwargs: dict[str, Any]
) -> PreTrainedModel:
    """One half of the model with its weights; those of the other half are not read."""
    path = _found(name, WEIGHTS_FILE, hub_kwargs)
    if path is None:
        raise InvalidInputError(
            f"The encoder {name!r} holds no {WEIGHTS_FILE}. Nothing else is opened: a pickle can run code when it is "
            "loaded. Name a checkpoint that has one."
        )
    with safe_open(path, "pt") as file:
        names = [key for key in file.keys() if key.startswith("visual.") == (half == "vision")]  # noqa: SIM118
        weights = convert(((key, file.get_tensor(key)) for key in names), half)
    dtype = model_kwargs.get("dtype") or next(iter(weights.values())).dtype
    loaded: Any = half_class(CLIPModel, half).from_pretrained(
        None, config=config, state_dict=weights, output_loading_info=True, dtype=dtype
    )
    model, report = loaded
    if wrong := sorted({*report["missing_keys"], *report["unexpected_keys"]}):
        raise InvalidInputError(f"{SUPPORTED}; {WEIGHTS_FILE} of {name!r} is not of one, by {shortened(wrong)}.")
    found: PreTrainedModel = model
    return found


def _found(name: str, file: str, hub_kwargs: dict[str, Any]) -> Path | None:
    """Where a file of a folder or a repository is on this machine, if it has it."""
    path = cached_file(name, file, _raise_exceptions_for_missing_entries=False, **hub_kwargs)
    return None if path is None else Path(path)


def _tower(settings: dict[str, Any], heads: int) -> dict[str, Any]:
    return {
        "hidden_size": settings["width"],
        "intermediate_size": int(settings["width"] * settings.get("mlp_ratio", 4.0)),
        "num_hidden_layers": settings["layers"],
        "num_attention_heads": heads,
    }


def _others(settings: dict[str, Any], understood: dict[str, Any]) -> Iterator[str]:
    """Settings that are not understood, or are not what they must be; those that are off count as not given."""
    for key, value in settings.items():
        if value and (key not in understood or understood[key] not in (None, value)):
            yield f"{key} {value!r}"
