"""What an encoder sees of a photo: the square in its middle or the whole of it, at which size."""

from __future__ import annotations

from typing import Any

from wordsight.utils.errors import InvalidInputError


def resized_processor(
    image_processor: Any, image_size: int | None, whole_photo: bool, patch_size: int | None = None
) -> Any:
    """An encoder's image processor for photos of another size, or for whole photos; the rest of it stays.

    Args:
        image_processor: the encoder's own.
        image_size: side of the square that photos become, in pixels; None for the encoder's own.
        whole_photo: whether the whole photo becomes that square, whatever its shape. Otherwise a processor that cuts
            out the middle goes on doing so; for one that takes the whole photo already, nothing changes.
        patch_size: of the encoder, in pixels; None if it takes photos of its own size alone.

    Raises:
        InvalidInputError: `image_size` is none that the encoder can take.
    """
    crops = bool(getattr(image_processor, "do_center_crop", False))
    if image_size is None and not (whole_photo and crops):
        return image_processor
    if image_size is not None:
        _check_size(image_size, patch_size)
    side = image_size or image_processor.crop_size["height"]
    square = {"height": side, "width": side}
    changed: dict[str, Any]
    if crops and not whole_photo:
        changed = {"size": {"shortest_edge": side}, "crop_size": square}
    else:
        changed = {"size": square, "do_center_crop": False} | ({"crop_size": square} if crops else {})
    return type(image_processor).from_dict(image_processor.to_dict() | changed)


def side_of(image_processor: Any) -> int:
    """Side of the square that an image processor makes of photos, in pixels."""
    crops = bool(getattr(image_processor, "do_center_crop", False))
    side: int = (image_processor.crop_size if crops else image_processor.size)["height"]
    return side


def _check_size(image_size: int, patch_size: int | None) -> None:
    if patch_size is None:
        raise InvalidInputError("This encoder takes photos of its own size alone. Omit image_size.")
    if image_size % patch_size:
        below = max(image_size // patch_size, 1) * patch_size
        raise InvalidInputError(
            f"image_size {image_size} is no multiple of the encoder's patch size {patch_size}. Pass {below} or "
            f"{below + patch_size}."
        )
