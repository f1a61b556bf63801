"""The whole photo at another size: pixels against Pillow and numpy, positions against transformers, what is saved."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoImageProcessor, CLIPModel, SiglipModel, pipeline

from wordsight import WordsightForMultiLabelImageClassification
from wordsight.modeling.encoders import load_image_encoder
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat", "dog", "car"]
from_encoder = WordsightForMultiLabelImageClassification.from_encoder


@pytest.fixture(scope="module")
def wide():
    """100 x 40: a white stripe at the left edge of noise, which a crop of the middle does not show."""
    pixels = np.random.default_rng(0).integers(0, 200, (40, 100, 3)).astype(np.uint8)
    pixels[:, :20] = 255
    return Image.fromarray(pixels)


def by_hand(photo, processor, side):
    """The whole photo squashed to a square, normalized: (3, side, side)."""
    squashed = np.asarray(photo.resize((side, side), processor.resample)) / 255
    return ((squashed - processor.image_mean) / processor.image_std).transpose(2, 0, 1)


@pytest.mark.parametrize(("image_size", "side"), [(None, 32), (48, 48)])
def test_whole_photo_is_squashed(tiny_clip_dir, wide, image_size, side):
    encoder = load_image_encoder(str(tiny_clip_dir), image_size=image_size, whole_photo=True)
    pixels = encoder.image_processor(wide, return_tensors="pt").pixel_values[0]
    np.testing.assert_allclose(pixels.numpy(), by_hand(wide, encoder.image_processor, side), atol=1e-5)
    assert encoder(pixels.unsqueeze(0)).grid == (side // 8, side // 8)


def test_the_middle_at_another_size(tiny_clip_dir, wide):
    """As CLIP prepares it: the shorter side at 48, the middle 48 x 48 of that."""
    encoder = load_image_encoder(str(tiny_clip_dir), image_size=48)
    pixels = encoder.image_processor(wide, return_tensors="pt").pixel_values[0]
    large = wide.resize((120, 48), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(
        pixels.numpy(), by_hand(large.crop((36, 0, 84, 48)), encoder.image_processor, 48), atol=1e-5
    )


def test_what_stands_at_the_edge_is_seen(tiny_clip_dir, wide):
    edge_gone = wide.copy()
    edge_gone.paste((0, 0, 0), (0, 0, 20, 40))
    for whole_photo in (False, True):
        encoder = load_image_encoder(str(tiny_clip_dir), whole_photo=whole_photo)
        with_edge, without = (
            encoder(encoder.image_processor(photo, return_tensors="pt").pixel_values).pooled
            for photo in (wide, edge_gone)
        )
        assert torch.allclose(with_edge, without, atol=1e-5) != whole_photo


@pytest.mark.parametrize("patch_embeddings", ["value", "correlative", "plain"])
def test_clip_with_interpolated_positions(tiny_clip_dir, patch_embeddings):
    """Pooled, and plain patches, are what transformers gives with interpolate_pos_encoding."""
    model, pixels = CLIPModel.from_pretrained(tiny_clip_dir).eval(), torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        whole = model.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)
        pooled = F.normalize(model.visual_projection(whole.pooler_output), dim=-1)
        states = model.vision_model.post_layernorm(whole.last_hidden_state[:, 1:])
        patches = F.normalize(model.visual_projection(states), dim=-1)
    image = load_image_encoder(str(tiny_clip_dir), patch_embeddings, image_size=48)(pixels)
    torch.testing.assert_close(image.pooled, pooled, rtol=1e-4, atol=1e-5)
    assert torch.allclose(image.patches, patches, rtol=1e-4, atol=1e-5) == (patch_embeddings == "plain")
    assert image.patches.shape[1] == 36


def test_half_precision(tiny_clip_dir):
    """Positions are interpolated in the model's own type."""
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    full, half = (load_image_encoder(str(tiny_clip_dir), dtype=dtype)(pixels) for dtype in (None, torch.bfloat16))
    assert half.pooled.dtype == torch.bfloat16
    assert (full.pooled * half.pooled.float()).sum(dim=-1).min() > 0.95


def test_siglip_with_interpolated_positions(tiny_siglip_dir):
    model, pixels = SiglipModel.from_pretrained(tiny_siglip_dir).eval(), torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        whole = model.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)
    encoder = load_image_encoder(str(tiny_siglip_dir), "plain", image_size=48, whole_photo=True)
    image = encoder(pixels)
    torch.testing.assert_close(image.pooled, F.normalize(whole.pooler_output, dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(image.patches, F.normalize(whole.last_hidden_state, dim=-1), rtol=1e-4, atol=1e-5)
    assert encoder.image_processor.size["height"] == 48


def test_new_models_see_the_whole_photo_and_old_ones_what_they_saw(encoder_name, wide, tmp_path):
    """By the encoder's family; a config without the fields, as earlier versions wrote it, keeps the processor."""
    model = from_encoder(encoder_name, NAMES)
    assert model.config.whole_photo == (encoder_name != "imagenet")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for field in ("whole_photo", "image_size"):
        del config[field]
    (tmp_path / "config.json").write_text(json.dumps(config))
    old = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path)
    own = load_image_encoder(encoder_name).image_processor
    assert old.image_encoder.image_processor.to_dict() == own.to_dict()
    assert old.config.whole_photo is False


def test_what_is_saved_works_everywhere(tiny_clip_dir, wide, tmp_path):
    """preprocessor_config.json says what was done, so that plain transformers does the same."""
    fields = {"image_size": 48, "patch_embeddings": "correlative"}
    model = from_encoder(str(tiny_clip_dir), NAMES, **fields)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (saved["size"], saved["do_center_crop"]) == ({"height": 48, "width": 48}, False)
    pixels = AutoImageProcessor.from_pretrained(tmp_path)(wide, return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = model(pixels).logits[0].sigmoid().tolist()
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path)
    assert loaded.image_encoder.patch_embeddings == "correlative"
    for task in ("multi-label-image-classification", "image-classification"):
        found = {entry["label"]: entry["score"] for entry in pipeline(task, model=str(tmp_path))(wide, top_k=None)}
        assert [found[name] for name in NAMES] == pytest.approx(expected, abs=1e-5)


def test_the_imagenet_encoder_takes_other_sizes_too(wide):
    encoder = load_image_encoder("imagenet", image_size=96, whole_photo=True)
    assert encoder(encoder.image_processor(wide, return_tensors="pt").pixel_values).grid == (3, 3)


def test_sizes_that_do_not_fit_are_refused(tiny_clip_dir):
    with pytest.raises(InvalidInputError, match=r"image_size 50 is no multiple of the encoder's patch size 8.*48"):
        from_encoder(str(tiny_clip_dir), NAMES, image_size=50)


@pytest.mark.parametrize("family", ["metaclip_2", "chinese_clip", "altclip", "naflex"])
def test_other_families_take_other_sizes_too(family, wide, request):
    encoder = load_image_encoder(
        str(request.getfixturevalue(f"tiny_{family}_dir")), "correlative", image_size=48, whole_photo=True
    )
    pixels = encoder.image_processor(wide, return_tensors="pt").pixel_values
    np.testing.assert_allclose(pixels[0].numpy(), by_hand(wide, encoder.image_processor, 48), atol=1e-5)
    assert encoder(pixels).grid == (48 // encoder.patch_size,) * 2


def test_align_sees_the_whole_photo_at_its_own_size(tiny_align_dir, wide):
    encoder = load_image_encoder(str(tiny_align_dir), whole_photo=True)
    pixels = encoder.image_processor(wide, return_tensors="pt").pixel_values
    assert not encoder.image_processor.do_center_crop and pixels.shape[-2] == pixels.shape[-1]
    with pytest.raises(InvalidInputError, match="own size alone"):
        load_image_encoder(str(tiny_align_dir), image_size=48)
