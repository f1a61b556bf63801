"""Thresholds from labeled photos: what logistic regression finds; few photos change nothing."""

import json

import numpy as np
import pytest
from scipy.special import expit
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight
from tests.modeling.test_modeling import NAMES, make_model
from wordsight.cli import app
from wordsight.description_gen import Category
from wordsight.modeling.calibration import fit_on_photos
from wordsight.pipelines.loading import load_pipeline


def test_scores_are_probabilities_on_the_photos_and_rare_categories_keep_theirs():
    rng = np.random.default_rng(0)
    shares, spread = np.array([0.5, 0.1, 0.001]), 0.08  # of CLIP's cosines, times a logit scale of 4
    labels = (rng.random((2000, 3)) < shares).astype(int)
    logits = (0.84 + 0.2 * labels + rng.normal(scale=spread, size=(2000, 3))).astype(np.float32)
    # Two normal distributions of one spread: by Bayes' rule, the probability is a logistic function of the logit.
    true_scale = 0.2 / spread**2
    true_threshold = 0.94 - np.log(shares / (1 - shares)) / true_scale
    labels[:200, 0] = -1  # do not count
    scale, threshold, fitted = fit_on_photos(logits, labels, np.full(3, 7.0), np.full(3, 0.5))
    assert fitted.tolist() == [True, True, False]
    assert (scale[2], threshold[2]) == (7.0, 0.5)
    for k in range(2):
        scores = expit(scale[k] * (logits[:, k] - threshold[k]))
        np.testing.assert_allclose(scores, expit(true_scale * (logits[:, k] - true_threshold[k])), atol=0.05)
        known = labels[:, k] >= 0
        assert scores[known].mean() == pytest.approx(labels[known, k].mean(), abs=0.01)


@pytest.mark.parametrize(("factor", "shift"), [(0.001, -3.0), (40.0, 5.0)])
def test_the_unit_of_logits_does_not_matter(factor, shift):
    rng = np.random.default_rng(1)
    labels = (rng.random((80, 1)) < 0.2).astype(int)
    logits = labels + rng.normal(scale=0.5, size=(80, 1))
    given = (np.ones(1), np.zeros(1))
    scale, threshold, _ = fit_on_photos(logits, labels, *given)
    scale_of_others, threshold_of_others, _ = fit_on_photos(logits * factor + shift, labels, *given)
    np.testing.assert_allclose(scale_of_others, scale / factor, rtol=1e-3)
    np.testing.assert_allclose(threshold_of_others, threshold * factor + shift, rtol=1e-3)


def test_a_category_whose_logits_are_all_the_same_keeps_its_scores():
    labels = np.arange(20)[:, None] % 2
    scale, threshold, fitted = fit_on_photos(np.full((20, 1), 0.3), labels, np.full(1, 7.0), np.full(1, 0.5))
    assert (scale[0], threshold[0], fitted[0]) == (7.0, 0.5, False)


def test_command_fits_thresholds_to_a_table(tmp_path, tiny_clip_dir):
    folder = tmp_path / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    photos = write_photos(tmp_path / "photos", 16, categories=[Category(name) for name in NAMES])
    files = sorted(photos.glob("*.jpg"))
    logits = load_pipeline(str(folder))([str(file) for file in files], function_to_apply="none")
    cat = np.array([next(e["score"] for e in found if e["label"] == "cat") for found in logits])
    truth = cat > np.median(cat)
    rows = [f"{file.name},{'cat' if shown else ''}" for file, shown in zip(files, truth, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["file_name,labels", *rows]))
    before = json.loads((folder / "config.json").read_text())
    command = ("calibrate", folder, "--data", tmp_path / "labels.csv", "--format", "csv", "--photos", photos)
    result = wordsight(*command)
    assert result.returncode == 0, result.stderr
    assert f"Thresholds of 1 category, fitted to 16 photos, in {folder}: cat" in result.stdout
    after = json.loads((folder / "config.json").read_text())
    assert after["score_threshold"][1:] == before["score_threshold"][1:]
    assert after["score_threshold"][0] != before["score_threshold"][0]
    scores = [
        next(entry["score"] for entry in found if entry["label"] == "cat")
        for found in load_pipeline(str(folder))([str(file) for file in files])
    ]
    assert np.corrcoef(scores, truth)[0, 1] > 0
    assert np.mean(scores) == pytest.approx(truth.mean(), abs=0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "either unlabeled photos, or --data"),
        (["photos", "--data", "a.csv"], "either unlabeled photos, or --data"),
        (["--data", "a.csv", "--use", "none"], "--use and --method are for unlabeled photos"),
        (["photos", "--format", "coco"], "--format and --photos are for --data"),
        (["photos", "--photos", "x"], "--format and --photos are for --data"),
        (["--data", "a.csv", "--format", "yolo"], "'yolo' is not known"),
        (["--data", "a.csv", "--format", "csv"], "There is no file or folder 'a.csv'"),
    ],
)
def test_options_are_checked_before_any_work(options, told):
    assert told in str(CliRunner().invoke(app, ["calibrate", "no-model", *options]).exception)
