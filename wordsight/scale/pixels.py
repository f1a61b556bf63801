"""Prepared photos as they travel from CPUs to GPUs: in bytes, where nothing is lost by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

EXACT = 1e-5  # greatest difference of a value that still counts as none
LEVELS, VALUES = "uint8", "float32"


@dataclass(frozen=True)
class Packing:
    """Image processors rescale and normalize levels of 0 to 255; this undoes it, and does it again at the other end.

    A photo then takes a quarter of the bytes on its way. One whose values are no levels (of a processor that does
    something else) travels as it is.

    Attributes:
        scale: (3, 1, 1), of each channel; None where the processor does not say.
        shift: (3, 1, 1).
    """

    scale: Tensor | None
    shift: Tensor | None

    @classmethod
    def of(cls, image_processor: Any) -> Packing:
        """What an image processor does to levels."""
        does_both = all(getattr(image_processor, name, False) for name in ("do_rescale", "do_normalize"))
        factor, mean, std = (
            getattr(image_processor, name, None) for name in ("rescale_factor", "image_mean", "image_std")
        )
        if not does_both or factor is None or mean is None or std is None:
            return cls(None, None)
        spread, center = (torch.tensor(each, dtype=torch.float64).view(-1, 1, 1) for each in (std, mean))
        return cls((factor / spread).float(), (-center / spread).float())

    def pack(self, pixels: Tensor) -> tuple[str, bytes]:
        """Type and bytes of a photo's views.

        Args:
            pixels: (V, 3, H, W), from the image processor.
        """
        pixels = pixels.float()
        if self.scale is not None and self.shift is not None and pixels.ndim == 4:
            levels = ((pixels - self.shift) / self.scale).round().clamp(0, 255)
            if torch.allclose(levels * self.scale + self.shift, pixels, rtol=0, atol=EXACT):
                return LEVELS, levels.to(torch.uint8).numpy().tobytes()
        return VALUES, pixels.numpy().tobytes()

    def unpack(self, kind: str, content: Any, shape: list[int], device: torch.device) -> Tensor:
        """What `pack` was given, on a device.

        Args:
            kind: type of the values.
            content: a buffer of them.
            shape: (V, 3, H, W).
            device: where the result is.
        """
        packed = torch.from_numpy(np.frombuffer(content, kind).reshape(shape).copy()).to(device)
        if kind == VALUES:
            return packed
        assert self.scale is not None and self.shift is not None
        return packed * self.scale.to(device) + self.shift.to(device)
