"""Score standardizations against the paper's equations, and calibration on real photos."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from wordsight import PromptTrainingArguments, WordsightForMultiLabelImageClassification, train_prompts
from wordsight.cli import app
from wordsight.modeling.category_embeddings import compound_text
from wordsight.modeling.evaluation.options import STANDARDIZATIONS
from wordsight.modeling.score_statistics import choose_compounds, fit_statistics
from wordsight.modeling.standardization import SCORE_STANDARDIZATIONS, standardize_scores
from wordsight.pipelines.calibrate import calibrate, match_thresholds, score_photos
from wordsight.pipelines.image_folders import find_photos
from wordsight.utils.errors import InvalidInputError

MEMBERS = [[0, 1, 3], [0, 2], [], [1, 2, 3, 4]]


def sparc(singles, compounds):
    """SPARC's algorithm, written down from arXiv 2502.16911, sections 2.2 and 2.3, in numpy."""
    mean, std = singles.mean(1, keepdims=True), singles.std(1, ddof=1, keepdims=True)
    singles, compounds = (singles - mean) / std, (compounds - mean) / std
    singles = (singles - singles.mean(0)) / singles.std(0, ddof=1)
    compounds = (compounds - compounds.mean(0)) / compounds.std(0, ddof=1)
    fused = singles.copy()
    for k, members in enumerate(MEMBERS):
        if members:
            ranked = np.sort(compounds[:, members], axis=1)
            features = np.column_stack([ranked, singles[:, k]])
            covariance = np.cov(features.T)
            direction = np.linalg.eigh(covariance)[1][:, -1]
            direction *= np.sign(direction.mean()) / np.abs(direction).sum()
            fused[:, k] = (features @ direction + singles[:, k]) / 2
    return singles, fused


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    level = rng.normal(0, 2, size=(50, 1))  # what a photo's scores have in common
    return rng.normal(1, 3, size=(50, 4)) + level, rng.normal(0, 1, size=(50, 5)) + level


def test_against_a_transcription_of_the_paper(scores):
    singles, compounds = (torch.from_numpy(array) for array in scores)
    standardized, fused = sparc(*scores)
    statistics = fit_statistics(singles, compounds, MEMBERS)
    by_category = standardize_scores("categories", singles, compounds, MEMBERS, statistics)
    np.testing.assert_allclose(by_category.numpy(), standardized, atol=1e-6)
    with_compounds = standardize_scores("sparc", singles, compounds, MEMBERS, statistics)
    np.testing.assert_allclose(with_compounds.numpy(), fused, atol=1e-5)
    # The category without a compound keeps its score.
    np.testing.assert_allclose(with_compounds[:, 2].numpy(), standardized[:, 2], atol=1e-6)
    by_image = standardize_scores("images", singles, compounds, MEMBERS, None)
    np.testing.assert_allclose(by_image.mean(1).numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(by_image.std(1).numpy(), 1, atol=1e-6)
    assert standardize_scores("none", singles, compounds, MEMBERS, None) is singles


def test_scores_that_never_differ_stay_finite():
    constant = torch.ones(5, 4)
    statistics = fit_statistics(constant, torch.ones(5, 5), MEMBERS)
    assert standardize_scores("sparc", constant, torch.ones(5, 5), MEMBERS, statistics).isfinite().all()


def test_compounds_are_the_most_frequent_sets_of_two_or_three():
    labels = np.array([[1, 1, 0, 0]] * 3 + [[0, 1, 1, 1]] * 2 + [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1]])
    assert choose_compounds(labels) == [[0, 1], [1, 2, 3], [2, 3]]
    assert choose_compounds(np.eye(3, dtype=int)) == []
    assert compound_text(["cat", "dog", "cup"]) == "a photo of a cat and a dog and a cup."


def test_matched_thresholds_keep_each_category_s_share_of_photos():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(400, 3))
    after = np.exp(before) * [1, 10, 3]  # any monotone change
    threshold, scale = np.array([0.5, -1.0, 9.0]), np.ones(3)
    matched, slopes = match_thresholds(before, after, threshold, scale)
    np.testing.assert_allclose((after > matched).mean(0), (before > threshold).mean(0), atol=1 / 400)
    assert matched[2] > after[:, 2].max()
    assert (slopes > 0).all()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, texts_dir, tiny_clip_dir):
    out = tmp_path_factory.mktemp("calibrated") / "model"
    args = PromptTrainingArguments(str(out), num_train_epochs=1, global_batch_size=32)
    train_prompts(texts_dir, out, str(tiny_clip_dir), args=args)
    return out


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("unlabeled") / "photos", 23)


def test_streamed_statistics_are_those_of_all_photos(model_dir, photos_dir):
    """Batches of 5 over 23 photos against everything in memory."""
    model = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    gathered = score_photos(model, find_photos([photos_dir]), batch_size=5, progress=False)
    assert gathered.photos == 23
    expected = fit_statistics(gathered.logits, gathered.compound_logits, model.config.compound_members())
    calibrate(model, find_photos([photos_dir]), "sparc", batch_size=5, progress=False)
    for name in ("mean", "std", "compound_mean", "compound_std", "fusion_weights"):
        torch.testing.assert_close(getattr(model.score_statistics, name), getattr(expected, name), rtol=1e-3, atol=1e-4)


def test_calibrated_checkpoint_round_trip(model_dir, photos_dir, tmp_path):
    """The command line keeps statistics and option; the reloaded model's logits are the option's."""
    result = CliRunner().invoke(
        app, ["calibrate", str(model_dir), str(photos_dir), "--use", "sparc", "--out", str(tmp_path / "calibrated")]
    )
    assert result.exit_code == 0, result.output
    assert "23 photos" in result.output
    before = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    after = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "calibrated")
    assert after.config.calibration_photos == 23
    assert (tmp_path / "calibrated" / "knowledge.json").is_file()
    pixels = torch.randn(3, 3, 32, 32)
    plain = before(pixels)
    changed = after(pixels)
    torch.testing.assert_close(changed.global_logits, plain.global_logits)
    image = after.image_encoder(pixels)
    compounds = after.branch_logits(image.pooled, image.patches)[2]
    expected = standardize_scores(
        "sparc", plain.similarities, compounds, after.config.compound_members(), after.score_statistics
    )
    torch.testing.assert_close(changed.similarities, expected)
    assert not torch.allclose(changed.similarities, plain.similarities, atol=1e-2)
    # Back to none, and the thresholds find what they found before.
    photos = find_photos([photos_dir])
    calibrate(after, photos, "none", progress=False)
    raw = score_photos(before, photos, progress=False).logits.numpy()
    found_before, found_after = (raw > np.array(model.config.score_threshold) for model in (before, after))
    assert np.abs(found_before.sum(0) - found_after.sum(0)).max() <= 1


def test_the_models_own_standardization_stays(model_dir, photos_dir):
    model = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    photos = find_photos([photos_dir])
    assert calibrate(model, photos, progress=False).score_standardization == "none"
    assert calibrate(model, photos, "images", progress=False).score_standardization == "images"
    assert calibrate(model, photos, progress=False).score_standardization == "images"
    assert model.config.score_standardization == "images"


def test_copies_of_a_photo_and_too_few_are_refused(model_dir, photos_dir):
    model = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    before = model.config.to_dict()
    photos = find_photos([photos_dir])
    with pytest.raises(InvalidInputError, match="2 of 2 photos can be read; statistics need at least 3"):
        calibrate(model, photos[:2], progress=False)
    with pytest.raises(InvalidInputError, match="5 photos all get the same scores, as copies of one photo do"):
        calibrate(model, photos[:1] * 5, progress=False)
    assert model.config.to_dict() == before


def test_options_without_what_they_need_are_refused(model_dir, tmp_path):
    config = json.loads((model_dir / "config.json").read_text())
    with pytest.raises(InvalidInputError, match=r"There is no .*nowhere"):
        find_photos([tmp_path / "nowhere"])
    with pytest.raises(InvalidInputError, match="No photo in"):
        find_photos([tmp_path])
    model = WordsightForMultiLabelImageClassification.from_pretrained(model_dir)
    with pytest.raises(InvalidInputError, match=r"Unknown score standardization 'best'. Allowed are none"):
        calibrate(model, [], "best")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(InvalidInputError, match="0 of 1 photos can be read"):
        calibrate(model, [tmp_path / "broken.jpg"])
    model.config.score_standardization = "categories"
    with pytest.raises(Exception, match="run `wordsight calibrate`"):
        model.config.validate()
    assert config["score_standardization"] == "none"


def test_the_names_that_commands_check_before_torch_is_loaded_are_those_of_the_model():
    assert STANDARDIZATIONS == SCORE_STANDARDIZATIONS
