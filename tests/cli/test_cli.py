"""The command line, as processes: what a user sees, and the way from end to end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.fixtures.process import processes_with, wordsight
from tests.modeling.test_modeling import make_model
from wordsight.cli import app
from wordsight.demo import PHOTOS
from wordsight.example_photos import load_photos
from wordsight.modeling.encoders import load_image_encoder
from wordsight.version import __version__


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("cli") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "chelsea.png"
    load_photos()["chelsea"].save(path)
    return path


def test_version():
    """As the command that pip installs, and as a module."""
    for start in ([Path(sys.executable).with_name("wordsight")], [sys.executable, "-m", "wordsight"]):
        result = subprocess.run([*start, "--version"], capture_output=True, text=True)
        assert result.stdout.strip() == __version__, result.stderr


@pytest.mark.parametrize(
    "command", [("describe",), ("show",), ("train",), ("predict",), ("encoder", "build"), ("demo",)]
)
def test_help_teaches_with_an_example_and_is_light(command):
    code = (
        "import sys; from wordsight.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True)
    assert f"Example: wordsight {' '.join(command)} " in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.stdout).split())
    assert result.stdout.strip().endswith("False")


def test_predict_table_and_json(model_dir, photo):
    table = wordsight("predict", model_dir, photo, "--top-k", 2)
    assert table.returncode == 0, table.stderr
    assert "labels" in table.stdout
    result = wordsight("predict", model_dir, photo, photo, "--json", "--threshold", "0")
    labels = json.loads(result.stdout)
    assert [entry["label"] for entry in labels[str(photo)]] != []
    assert all(set(entry) == {"label", "score"} for entry in labels[str(photo)])


def test_photo_that_is_none_is_named_and_the_others_are_labeled(model_dir, photo, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    result = wordsight("predict", model_dir, bad, photo, tmp_path / "gone.jpg", "--json")
    assert result.returncode == 1
    assert list(json.loads(result.stdout)) == [str(photo)]
    skipped = [line for line in result.stderr.splitlines() if line.startswith("Skipped:")]
    assert len(skipped) == 2 and "bad.jpg" in skipped[0] and "gone.jpg" in skipped[1]


def test_predict_with_no_model(tmp_path, photo):
    result = wordsight("predict", tmp_path / "nowhere", photo)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: The model '{tmp_path}/nowhere' can't be loaded")
    assert "Traceback" not in result.stderr


def test_describe_with_bad_categories(tmp_path):
    (tmp_path / "c.txt").write_text("cat\ncat\n")
    result = wordsight("describe", "--categories", tmp_path / "c.txt", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines() == [
        f"Error: {tmp_path}/c.txt, line 2: 'cat' is given twice. Each name may stand for one category."
    ]
    assert not (tmp_path / "out").exists()


def test_train_with_a_foreign_encoder(texts_dir, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    result = wordsight("train", texts_dir, "--encoder", tmp_path, "--out", tmp_path / "model")
    assert result.returncode == 1
    assert "supported are align, altclip" in result.stderr.splitlines()[-1]


def test_train_says_how_photos_are_looked_at(texts_dir, tiny_clip_dir, photo, tmp_path):
    """Options of the image half are kept in the config and the processor, and `predict` goes by them."""
    options = ["--image-size", "48", "--center-crop", "--patch-embeddings", "correlative", "--scores", "images"]
    command = ["train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model", "--epochs", 1]
    result = CliRunner().invoke(app, [*map(str, command), *options, "--correlative-weight", "0.5"])
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    expected = {"image_size": 48, "whole_photo": False, "patch_embeddings": "correlative", "correlative_weight": 0.5}
    assert {field: config[field] for field in expected} == expected
    assert config["score_standardization"] == "images"
    assert CliRunner().invoke(app, ["predict", str(tmp_path / "model"), str(photo)]).exit_code == 0
    again = [*map(str, command), "--patch-embeddings", "query"]
    assert "patch_embeddings" in str(CliRunner().invoke(app, again).exception)


def test_encoder_build(tmp_path, photo):
    result = wordsight("encoder", "build", tmp_path / "encoder")
    assert result.returncode == 0, result.stderr
    encoder = load_image_encoder(str(tmp_path / "encoder"))
    assert encoder(encoder.image_processor(Image.open(photo), return_tensors="pt")["pixel_values"]).pooled.shape == (
        1,
        256,
    )


@pytest.mark.slow
def test_demo_end_to_end_and_again(tmp_path):
    """With fewer sentences than `make demo`, on a vLLM server of its own; the second run reuses all of it."""
    first = wordsight("demo", "--out", tmp_path, "--sentences", 120, env=os.environ | {"STARTED_FOR": str(tmp_path)})
    assert first.returncode == 0, first.stderr[-2000:]
    assert "Starting vLLM" in first.stderr and not processes_with("STARTED_FOR", tmp_path)
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert set(labels) == set(PHOTOS)
    for entries in labels.values():
        assert len(entries) == 20
        assert all(0 <= entry["score"] <= 1 for entry in entries)
    assert sum(entries[0]["label"] == PHOTOS[name] for name, entries in labels.items()) >= 4
    assert Image.open(tmp_path / "labels.png").size == (1200, 900)
    assert sum(path.stat().st_size for path in (tmp_path / "model").iterdir()) < 1_000_000
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    answers = (tmp_path / "texts" / ".progress" / "answers.jsonl").read_bytes()

    second = wordsight("demo", "--out", tmp_path, "--sentences", 120)
    assert second.returncode == 0, second.stderr[-2000:]
    assert "Starting vLLM" not in second.stderr and "Learning prompts" not in second.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == written
    assert (tmp_path / "texts" / ".progress" / "answers.jsonl").read_bytes() == answers
    assert json.loads((tmp_path / "labels.json").read_text()) == labels
