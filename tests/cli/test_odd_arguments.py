"""Arguments that can't be meant: one line before any work, in the command line and in Python."""

import pytest
from typer.testing import CliRunner

from wordsight import extend_model, generate_texts, predict_shards, train_prompts
from wordsight.cli import app
from wordsight.description_gen.dataset import normalize_texts
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.modeling.loading import load_model
from wordsight.pipelines.calibrate import calibrate_checkpoint
from wordsight.utils.errors import InvalidInputError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "", "a.jpg"], "An argument is empty"),
        (["predict", "model", ""], "An argument is empty"),
        (["predict", "model", "photos", "--shards", "1", "--out", ""], "--out is empty"),
        (["train", "texts", "--out="], "--out is empty"),
        (["serve", "model", "--api-key="], "--api-key is empty"),
        (["calibrate", "model", " "], "An argument is empty"),
        (["evaluate", "model", "--data", "", "--format", "coco"], "--data is empty"),
        (["predict", "none", "none.jpg", "--threshold", "2"], "--threshold must be between 0 and 1, got 2"),
        (["predict", "none", "none.jpg", "--threshold", "nan"], "--threshold must be between 0 and 1, got nan"),
        (
            ["predict", "none", "none", "--shards", "1", "--out", "x", "--threshold", "-1"],
            "--threshold must be between",
        ),
    ],
)
def test_said_once_before_any_work(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InvalidInputError), result.output
    assert said in str(result.exception) and not list(tmp_path.iterdir())


def test_an_empty_key_in_the_environment_leaves_no_server_open(monkeypatch):
    monkeypatch.setenv("WORDSIGHT_API_KEY", "")
    result = CliRunner().invoke(app, ["serve", "none"])
    assert isinstance(result.exception, InvalidInputError) and "WORDSIGHT_API_KEY is empty" in str(result.exception)


def test_values_may_end_in_an_equals_sign():
    for arguments in (["serve", "none", "--api-key=c2VjcmV0Cg=="], ["push", "none", "user/none", "--message=why x="]):
        result = CliRunner().invoke(app, arguments)
        assert "is empty" not in str(result.exception)


@pytest.mark.parametrize(
    "call",
    [
        lambda: predict_shards("", "photos", "out", 1),
        lambda: predict_shards("model", "photos", "", 1),
        lambda: train_prompts("texts", ""),
        lambda: train_prompts("", "out"),
        lambda: extend_model("model", "texts", ""),
        lambda: calibrate_checkpoint("model", [], out=""),
        lambda: load_model(" "),
        lambda: generate_texts(["cat"], ""),
        lambda: load_labeled_photos("", "coco", []),
        lambda: normalize_texts(""),
    ],
)
def test_an_empty_text_is_not_the_current_folder(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="is an empty text"):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("threshold", [2, -0.1, float("nan"), "0.5", True, None])
def test_thresholds_that_no_score_has(threshold):
    with pytest.raises(InvalidInputError, match="threshold must be between 0 and 1, got"):
        predict_shards("no/model", "photos", "out", 1, threshold=threshold)
