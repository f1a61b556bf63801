"""A classifier of unlabeled photos (GDA): the fit against numpy, and what `wordsight calibrate --method gda` keeps."""

import json

import numpy as np
import pytest
import torch
from sklearn.covariance import oas
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from wordsight import PromptTrainingArguments, WordsightForMultiLabelImageClassification, train_prompts
from wordsight.cli import app
from wordsight.modeling.evaluation.methods import MethodFactory
from wordsight.modeling.evaluation.options import CALIBRATION_METHODS
from wordsight.modeling.modeling_inference import PHOTO_CLASSIFIER_WEIGHT
from wordsight.modeling.photo_classifier import fit_photo_classifier
from wordsight.pipelines.calibrate import METHODS, calibrate, score_photos
from wordsight.pipelines.image_folders import find_photos
from wordsight.utils.errors import InvalidInputError


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def test_the_fit_against_numpy():
    """S^-1 (m_k - m) of the best scored photos, at the level and spread of the category's own scores."""
    rng = np.random.default_rng(0)
    features, scores = unit(rng.normal(size=(60, 8)) + 1), rng.normal(size=(60, 3)) * [1, 2, 5] + [0, 3, -1]
    found = np.array([7, 4, 50])
    fit = fit_photo_classifier(torch.from_numpy(features).float(), torch.from_numpy(scores).float(), found)
    assert fit.fitted.tolist() == [1, 0, 1]  # the second is found on 4 photos
    mean = features.mean(0)
    covariance, _ = oas(features - mean, assume_centered=True)
    for k, count in ((0, 7), (2, 20)):
        confident = features[np.argsort(-scores[:, k])[:count]]
        direction = features @ np.linalg.solve(covariance, confident.mean(0) - mean)
        expected = (direction - direction.mean()) / direction.std() * scores[:, k].std() + scores[:, k].mean()
        given = features @ fit.weight[k].double().numpy() + fit.bias[k].item()
        np.testing.assert_allclose(given, expected, atol=1e-3)
    assert not fit.weight[1].any()


def test_it_finds_what_the_scores_are_unsure_of():
    """Two kinds of photos that noisy scores rank badly: the classifier of the surest ones ranks them better."""
    rng = np.random.default_rng(1)
    kinds = np.arange(400) % 4 == 0
    features = unit(rng.normal(size=(400, 16)) + 1.5 * kinds[:, None] * np.eye(16)[0])
    scores = kinds + rng.normal(size=400)
    fit = fit_photo_classifier(torch.from_numpy(features).float(), torch.from_numpy(scores[:, None]).float(), [20])

    def order(values):
        return (values[kinds][:, None] > values[~kinds]).mean()

    classified = features @ fit.weight[0].numpy()
    mixed = (1 - PHOTO_CLASSIFIER_WEIGHT) * scores + PHOTO_CLASSIFIER_WEIGHT * (classified + fit.bias.item())
    assert order(mixed) > order(scores) + 0.02


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, texts_dir, tiny_clip_dir):
    out = tmp_path_factory.mktemp("classified") / "model"
    args = PromptTrainingArguments(str(out), num_train_epochs=1, global_batch_size=32)
    train_prompts(texts_dir, out, str(tiny_clip_dir), args=args)
    config = json.loads((out / "config.json").read_text())
    config["score_threshold"] = [-5.0, -5.0, -5.0, 5.0]  # three categories on all photos, one on none
    (out / "config.json").write_text(json.dumps(config))
    return out


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("unlabeled") / "photos", 23)


def test_a_calibrated_checkpoint_mixes_it_in(model_dir, photos_dir, tmp_path):
    out = tmp_path / "calibrated"
    result = CliRunner().invoke(
        app, ["calibrate", str(model_dir), str(photos_dir), "--method", "gda", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "for 3 of 4 categories: cat, dog, car; the others keep their own scores" in result.output
    before, after = map(WordsightForMultiLabelImageClassification.from_pretrained, (model_dir, out))
    assert after.config.photo_classifier_weight == PHOTO_CLASSIFIER_WEIGHT
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pooled = before.image_encoder(pixels).pooled.numpy()
    own = before(pixels).similarities.detach().numpy()
    classified = pooled @ after.photo_weight.numpy().T + after.photo_bias.numpy()
    expected = np.where(after.photo_fitted.numpy() > 0, 0.7 * own + 0.3 * classified, own)
    np.testing.assert_allclose(after(pixels).similarities.detach().numpy(), expected, atol=1e-5)
    assert np.abs(expected - own)[:, :3].max() > 1e-2
    image = after.image_encoder(pixels)
    row = MethodFactory(after, after.load_text_encoder()).make("learned")  # of `wordsight evaluate`
    np.testing.assert_allclose(row.logits(image.pooled, image.patches, after).detach().numpy(), expected, atol=1e-5)
    # Thresholds go along, and taking the classifier out gives the scores of before.
    photos = find_photos([photos_dir])
    raw = score_photos(after, photos, progress=False).logits.numpy()
    assert ((raw > np.array(after.config.score_threshold)).sum(0) == [23, 23, 23, 0]).all()
    calibrate(after, photos, progress=False)
    assert after.config.photo_classifier_weight == 0
    np.testing.assert_allclose(after(pixels).similarities.detach().numpy(), own, atol=1e-6)
    after.save_pretrained(out)
    assert WordsightForMultiLabelImageClassification.from_pretrained(out).config.photo_classifier_weight == 0


def test_a_second_fit_does_not_build_on_the_first(model_dir, photos_dir):
    model = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    photos = find_photos([photos_dir])
    weights = []
    for _ in range(2):
        calibrate(model, photos, progress=False, method="gda")
        weights.append(model.photo_weight.clone())
    torch.testing.assert_close(*weights)


def test_what_can_not_be_fitted_is_refused(model_dir, photos_dir):
    model = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    with pytest.raises(InvalidInputError, match=r"Unknown calibration method 'lda'\. Allowed are statistics, gda"):
        calibrate(model, find_photos([photos_dir]), method="lda")
    with pytest.raises(InvalidInputError, match="No category is found on 5 of the 4 photos"):
        calibrate(model, find_photos([photos_dir])[:4], progress=False, method="gda")
    model.config.photo_classifier_weight = 2
    with pytest.raises(Exception, match="photo_classifier_weight must be between 0 and 1"):
        model.config.validate()
    assert METHODS == CALIBRATION_METHODS
