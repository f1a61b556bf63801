"""open_clip checkpoints against an independent forward pass in open_clip's layout, and what is refused."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub import HfApi
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.conftest import HUB
from tests.fixtures.open_clip import save_open_clip
from wordsight import load_image_encoder, load_text_encoder
from wordsight.modeling.untrained import encoder_reference
from wordsight.utils.errors import InvalidInputError

TEXTS = ["a cat", "two dogs run over a wide green field"]


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_against_a_forward_pass_in_open_clips_layout(tmp_path, quick_gelu):
    """Texts padded with 0 to 77 and pooled at the greatest id, as open_clip does; photos through its ViT."""
    reference = save_open_clip(tmp_path / "encoder", quick_gelu)
    text, image = load_text_encoder(str(tmp_path / "encoder")), load_image_encoder(str(tmp_path / "encoder"))
    encoded = text.tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    padded = F.pad(ids * mask, (0, 77 - ids.shape[1]))
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        texts, images = reference.encode_text(padded), reference.visual(pixels)
    torch.testing.assert_close(text(ids, mask).pooled, F.normalize(texts, dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(image(pixels).pooled, F.normalize(images, dim=-1), rtol=1e-4, atol=1e-5)
    assert text.max_length == 77 and image(pixels).grid == (4, 4)
    assert not any("vision" in name or "visual" in name for name, _ in text.named_parameters())
    assert not any("text" in name for name, _ in image.named_parameters())


@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_photos_are_prepared_as_the_checkpoint_says(tiny_open_clip_dir, tmp_path, mode):
    folder = changed(tiny_open_clip_dir, tmp_path, lambda config: config["preprocess_cfg"].update(resize_mode=mode))
    photo = Image.new("RGB", (64, 32), "black")
    photo.paste("white", (0, 0, 16, 32))  # outside of the square in the middle
    pixels = load_image_encoder(str(folder)).image_processor(photo, return_tensors="pt").pixel_values
    assert pixels.shape == (1, 3, 32, 32) and pixels.min() == (0 - 0.5) / 0.25
    assert bool(pixels.max() == (1 - 0.5) / 0.25) == (mode == "squash")


def changed(source, tmp_path, change):
    """A copy of a checkpoint with another configuration."""
    folder = shutil.copytree(source, tmp_path / "changed")
    config = json.loads((folder / "open_clip_config.json").read_text())
    change(config)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("half", "settings", "named"),
    [
        ("vision_cfg", {"layers": [3, 4, 6, 3]}, "gives no number as layers"),  # RN50
        ("vision_cfg", {"timm_model_name": "vit_pe_core_base_patch16_224"}, "vit_pe_core_base"),  # PE-Core
        ("vision_cfg", {"pool_type": "avg", "no_ln_pre": True}, "pool_type 'avg', no_ln_pre True"),  # CLIPA
        ("text_cfg", {"hf_model_name": "xlm-roberta-base"}, "xlm-roberta-base"),
        (None, {"custom_text": True}, "custom_text True"),  # MobileCLIP, SigLIP
    ],
)
def test_other_architectures_are_named_and_the_supported_ones_too(tiny_open_clip_dir, tmp_path, half, settings, named):
    def change(config):
        (config["model_cfg"][half] if half else config["model_cfg"]).update(settings)

    folder = changed(tiny_open_clip_dir, tmp_path, change)
    for load in (load_text_encoder, load_image_encoder):
        with pytest.raises(InvalidInputError, match=rf"supported are .*ViT-B-32.*{named}"):
            load(str(folder))


def test_pickles_are_not_opened(tiny_open_clip_dir, tmp_path):
    folder = shutil.copytree(tiny_open_clip_dir, tmp_path / "encoder")
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(InvalidInputError, match=r"holds no open_clip_model.safetensors. Nothing else is opened"):
        load_image_encoder(str(folder))


def test_weights_of_another_model_are_refused(tiny_open_clip_dir, tmp_path):
    folder = shutil.copytree(tiny_open_clip_dir, tmp_path / "encoder")
    tensors = load_file(folder / "open_clip_model.safetensors")
    save_file({key: tensors[key] for key in tensors if key != "visual.proj"}, folder / "open_clip_model.safetensors")
    load_text_encoder(str(folder))
    with pytest.raises(InvalidInputError, match=r"is not of one, by visual_projection.weight"):
        load_image_encoder(str(folder))


def test_no_tokenizer_says_what_to_copy(tiny_open_clip_dir, tmp_path):
    folder = shutil.copytree(tiny_open_clip_dir, tmp_path / "encoder")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InvalidInputError, match=r"has no tokenizer.*Copy tokenizer.json"):
        load_text_encoder(str(folder))


def test_from_the_hub_by_either_name(tiny_open_clip_dir):
    """timm's repositories have a config.json of their own; open_clip writes "hf-hub:" before the id."""
    api = HfApi(token=HUB.tokens["write"])
    api.create_repo("alice/tiny-open-clip")
    api.upload_folder(repo_id="alice/tiny-open-clip", folder_path=tiny_open_clip_dir)
    content = json.dumps({"architecture": "vit_tiny", "num_classes": 24}).encode()
    api.upload_file(repo_id="alice/tiny-open-clip", path_or_fileobj=content, path_in_repo="config.json")
    pixels = torch.randn(1, 3, 32, 32)
    expected = load_image_encoder(str(tiny_open_clip_dir))(pixels).pooled
    for name in ("alice/tiny-open-clip", "hf-hub:alice/tiny-open-clip"):
        torch.testing.assert_close(load_image_encoder(name)(pixels).pooled, expected)
        assert load_text_encoder(name).projection_dim == 24
        reference, revision = encoder_reference(name, None)
        assert reference == "alice/tiny-open-clip" and len(revision) == 40
