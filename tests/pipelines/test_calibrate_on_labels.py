"""Thresholds from labeled photos: what logistic regression finds; few photos change nothing."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
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
    labels = (rng.random((200, 3)) < [0.5, 0.1, 0.01]).astype(int)
    logits = (2 * labels + rng.normal(size=(200, 3))).astype(np.float32)
    labels[:20, 0] = -1  # do not count
    scale, threshold, fitted = fit_on_photos(logits, labels, np.full(3, 7.0), np.full(3, 0.5))
    assert fitted.tolist() == [True, True, False]
    assert (scale[2], threshold[2]) == (7.0, 0.5)
    for k in range(2):
        known = labels[:, k] >= 0
        oracle = LogisticRegression().fit(logits[known, k : k + 1], labels[known, k])
        scores = 1 / (1 + np.exp(-scale[k] * (logits[known, k] - threshold[k])))
        np.testing.assert_allclose(scores, oracle.predict_proba(logits[known, k : k + 1])[:, 1], atol=1e-6)
        assert scores.mean() == pytest.approx(labels[known, k].mean(), abs=0.01)


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
    assert f"Thresholds of 1 categories, fitted to 16 photos, in {folder}: cat" in result.stdout
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
        (["--data", "a.csv", "--format", "yolo"], "'yolo' is not known"),
        (["--data", "a.csv", "--format", "csv"], "There is no file or folder 'a.csv'"),
    ],
)
def test_options_are_checked_before_any_work(options, told):
    assert told in str(CliRunner().invoke(app, ["calibrate", "no-model", *options]).exception)
