"""`wordsight train --head comc`: a classifier of sentences as a model, saved, used and pushed like one with prompts."""

import json

import numpy as np
import pytest
import torch
from transformers import pipeline
from typer.testing import CliRunner

import wordsight  # noqa: F401
from tests.fixtures.photos import write_photos
from wordsight import PromptTrainer, WordsightForMultiLabelImageClassification, extend_model
from wordsight.cli import app
from wordsight.hub.remote_code import remote_source
from wordsight.modeling.evaluation.methods import MethodFactory
from wordsight.modeling.training.classifier_model import train_classifier_model
from wordsight.utils.errors import InvalidInputError


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, texts_dir, tiny_clip_dir):
    out = tmp_path_factory.mktemp("comc") / "model"
    result = CliRunner().invoke(
        app, ["train", str(texts_dir), "--head", "comc", "--encoder", str(tiny_clip_dir), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def model(model_dir):
    return WordsightForMultiLabelImageClassification.from_pretrained(model_dir)


def test_scores_are_those_of_the_formula(model):
    """f' = 0.7 f + 0.3 unit(softmax(100 f T^t) T), one W for both branches, the best patch; all by numpy."""
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    image = model.image_encoder(pixels)
    memory, weight = (tensor.double().numpy() for tensor in (model.memory, model.global_embeddings))
    assert memory.shape == (model.config.memory_size, 24)
    np.testing.assert_array_equal(model.local_embeddings, model.global_embeddings)

    def logits(features):
        attention = np.exp(100 * features @ memory.T)
        told = unit(attention / attention.sum(-1, keepdims=True) @ memory)
        return 4 * (0.7 * features + 0.3 * told) @ weight.T

    at_patches = logits(image.patches.detach().double().numpy())
    expected = 0.5 * logits(image.pooled.detach().double().numpy()) + 0.5 * at_patches.max(axis=1)
    found = model(pixels, output_patch_logits=True)
    np.testing.assert_allclose(found.similarities.detach().numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(found.patch_logits.detach().numpy(), at_patches, atol=1e-4)
    for row in ("learned", "learned-global"):  # as `wordsight evaluate` has it
        method = MethodFactory(model, model.load_text_encoder()).make(row)
        given = method.logits(image.pooled, image.patches, model).detach().numpy()
        of_row = expected if row == "learned" else logits(image.pooled.detach().double().numpy())
        np.testing.assert_allclose(given, of_row, atol=1e-4)


def test_the_pipeline_and_the_card_know_it(model_dir, tmp_path):
    photos = write_photos(tmp_path / "photos", 2)
    labeled = pipeline("multi-label-image-classification", model=str(model_dir))(str(next(photos.glob("*.jpg"))))
    assert {entry["label"] for entry in labeled} == {"cat", "dog", "car", "cup"}
    card = (model_dir / "README.md").read_text()
    assert "classifier" in card and "CoMC" in card
    assert "prompt tokens" not in card
    log = json.loads((model_dir / "training_log.json").read_text())
    assert log["training"]["head"] == "comc"
    assert np.mean(list(log["validation_ap"].values())) > 0.5
    assert "def pull" in remote_source("modeling_wordsight")


def test_a_seed_decides_all_and_memory_can_be_left_out(model, texts_dir, tiny_clip_dir, tmp_path):
    again = train_classifier_model(texts_dir, tmp_path / "again", str(tiny_clip_dir))
    assert torch.equal(again.global_embeddings, model.global_embeddings)
    assert torch.equal(again.memory, model.memory)
    plain = train_classifier_model(
        texts_dir, tmp_path / "plain", str(tiny_clip_dir), config_fields={"memory_weight": 0}, steps=5
    )
    assert plain.config.memory_size == 0
    assert "memory" not in plain.state_dict()


def test_prompts_can_have_a_memory_too(texts_dir, tiny_clip_dir, tmp_path):
    command = ["train", str(texts_dir), "--encoder", str(tiny_clip_dir), "--out", str(tmp_path / "model")]
    result = CliRunner().invoke(app, [*command, "--epochs", "1", "--memory-weight", "0.5"])
    assert result.exit_code == 0, result.output
    model = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "model")
    assert model.config.head == "prompts"
    assert model.memory.shape == (model.config.memory_size, 24)
    features = unit(np.random.default_rng(0).normal(size=(5, 24)))
    attention = np.exp(100 * features @ model.memory.double().numpy().T)
    told = unit(attention / attention.sum(-1, keepdims=True) @ model.memory.double().numpy())
    found = model.told_in_sentences(torch.from_numpy(features).float())
    np.testing.assert_allclose(found, 0.5 * features + 0.5 * told, atol=1e-5)


def test_what_prompts_alone_can_do_is_refused(model_dir, model, texts_dir, tmp_path):
    with pytest.raises(InvalidInputError, match="can't be computed from prompts"):
        model.update_category_embeddings()
    with pytest.raises(InvalidInputError, match="There is no prompt token to learn"):
        PromptTrainer(model=WordsightForMultiLabelImageClassification.from_pretrained(model_dir))
    with pytest.raises(InvalidInputError, match="has a classifier in place of prompts"):
        extend_model(model_dir, texts_dir, tmp_path / "larger")
    command = ["train", str(texts_dir), "--out", str(tmp_path / "new")]
    for more, message in (
        (["--head", "ridge"], "--head ridge is not known. Pass one of prompts, comc"),
        (["--head", "comc", "--epochs", "3"], "--epochs is about prompts"),
    ):
        result = CliRunner().invoke(app, [*command, *more])
        assert message in str(result.exception)
    model.config.memory_weight = 2
    with pytest.raises(Exception, match="memory_weight must be between 0 and 1"):
        model.config.validate()
    model.config.memory_weight = 0.3
