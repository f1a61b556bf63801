"""Pixels on their way: a quarter of the bytes, and what the image processor made of the photo."""

import pytest
import torch
from PIL import Image
from transformers.models.clip import CLIPImageProcessorPil

from wordsight.modeling.encoders import load_image_encoder
from wordsight.scale.pixels import Packing


@pytest.mark.parametrize("family", ["tiny_clip_dir", "tiny_siglip_dir", "imagenet_encoder_dir"])
def test_levels_come_back_as_the_processor_made_them(family, request, photos_dir):
    processor = load_image_encoder(str(request.getfixturevalue(family))).image_processor
    packing = Packing.of(processor)
    for number in (0, 2, 3):
        photo = Image.open(photos_dir / f"{number}.jpg")
        pixels = processor(images=[photo, photo.rotate(90)], return_tensors="pt").pixel_values
        kind, content = packing.pack(pixels)
        assert (kind, len(content)) == ("uint8", pixels.numel())
        back = packing.unpack(kind, content, list(pixels.shape), torch.device("cpu"))
        torch.testing.assert_close(back, pixels, rtol=0, atol=1e-5)


def test_values_that_are_no_levels_travel_as_they_are():
    packing = Packing.of(CLIPImageProcessorPil())
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    kind, content = packing.pack(pixels)
    assert kind == "float32"
    assert torch.equal(packing.unpack(kind, content, [2, 3, 8, 8], torch.device("cpu")), pixels)
    levels = torch.zeros(1, 3, 8, 8)
    assert Packing.of(CLIPImageProcessorPil(do_normalize=False)).pack(levels)[0] == "float32"
