"""The core: with nothing but what `pip install wordsight` installs, photos are labeled; the rest says what it needs."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import wordsight
from tests.fixtures.bare import WEIGHTS, make_bare_python, needed
from wordsight.example_photos import load_photos

ROOT = Path(wordsight.__file__).parents[1]
MODEL = ROOT / "tests" / "data" / "model-0.2.0"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with wordsight's hard dependencies and the encoder's weights."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    roots = [re.match(r"[\w-]+", dependency)[0] for dependency in project["dependencies"]]
    assert {"scikit-learn", "matplotlib", "openai", "simplemma", "gradio"}.isdisjoint(needed(roots))
    folder = tmp_path_factory.mktemp("core") / "venv"
    python = make_bare_python(folder, [*roots, WEIGHTS])
    (packages,) = (folder / "lib").glob("python*/site-packages")
    package = packages / "wordsight"
    package.mkdir()
    rooms = [ROOT / name for name in ("description_gen", "model_cards", "modeling", "pipelines")]
    for path in [*(ROOT / "wordsight").iterdir(), *rooms]:
        (package / path.name).symlink_to(path)
    return python


def run(python, *command):
    # Elsewhere, or the repository's bare folder wordsight/ would be what is imported.
    options = {"cwd": python.parent, "env": os.environ | {"HF_HUB_OFFLINE": "1"}}
    return subprocess.run([python, *map(str, command)], capture_output=True, text=True, timeout=120, **options)


def test_the_core_labels_photos(python, tmp_path):
    photo = tmp_path / "chelsea.png"
    load_photos()["chelsea"].save(photo)
    code = (
        "import sys, wordsight\n"
        "from transformers import pipeline\n"
        "labeler = pipeline('multi-label-image-classification', model=sys.argv[1])\n"
        "print(labeler(sys.argv[2])[0]['label'])\n"
        "from wordsight.scale import read_photos\n"
        "try:\n"
        "    read_photos('.')\n"
        "except ImportError as error:\n"
        "    print(error, file=sys.stderr)\n"
        "from wordsight.modeling.calibration import fit_calibration\n"
    )
    result = run(python, "-c", code, MODEL, photo)
    assert result.stdout, result.stderr
    assert "MissingDependencyError: sklearn is not installed. Run `pip install 'wordsight[train]'`." in result.stderr
    assert "ray is not installed. Run `pip install 'wordsight[scale]'`." in result.stderr
    labels = run(python, "-m", "wordsight", "predict", MODEL, photo, "--json")
    assert labels.returncode == 0, labels.stderr
    assert result.stdout.strip() in labels.stdout
