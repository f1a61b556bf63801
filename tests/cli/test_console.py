"""Names in tables are shown as they are, on any terminal."""

import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.modeling.test_modeling import make_model
from wordsight.cli import app

NAMES = ["photo [edited].jpg", "photo [/x].jpg", "12:cat:30.jpg", "猫 é.jpg"]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("console") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    return folder


def test_no_name_is_markup(model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(tmp_path / name)
    result = CliRunner().invoke(app, ["predict", str(model_dir), *NAMES], catch_exceptions=False)
    assert result.exit_code == 0
    for name in NAMES:
        assert name in result.stdout


def test_a_terminal_that_is_ascii_costs_nothing(model_dir, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / NAMES[-1])
    code = "from wordsight.cli import run; run()"
    command = [sys.executable, "-c", code, "--quiet", "predict", str(model_dir), NAMES[-1]]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert r"\u732b" in result.stdout
