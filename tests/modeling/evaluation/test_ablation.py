"""`wordsight ablate`: variants learned, measured, and not learned twice."""

import json

import numpy as np
import pytest
import yaml
from datasets import load_from_disk
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.texts import write_texts
from wordsight.cli import app
from wordsight.modeling.evaluation.ablation import markdown_table, read_ablation
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def ablation(tmp_path_factory, tiny_clip_dir):
    """A file with all kinds of changes, and the folder of its results."""
    folder = tmp_path_factory.mktemp("ablation")
    texts = write_texts(folder / "plain")
    dataset = load_from_disk(str(texts))
    kinds = ["multiple" if sum(labels) > 1 else "single" for labels in dataset["labels"]]
    dataset.add_column("kind", kinds).save_to_disk(folder / "texts")
    (texts / "knowledge.json").rename(folder / "texts" / "knowledge.json")
    content = {
        "encoder": str(tiny_clip_dir),
        "seeds": [0, 1],
        "data": {"noise": {"texts": str(folder / "texts"), "path": str(write_photos(folder / "photos", 9))}},
        "base": {"epochs": 1, "batch_size": 32, "tokens": [2, 2, 2, 2]},
        "variants": {
            "full": None,
            "flat": {"tokens": [4, 0, 0, 0]},
            "random groups": {"groups": "random"},
            "name groups": {"groups": "names"},
            "few": {"sentences": 30, "kinds": ["multiple"], "noise": 0},
        },
    }
    (folder / "file.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = ["ablate", str(folder / "file.yaml"), "--out", str(folder / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return folder, command, result.output


def test_every_variant_with_every_seed(ablation):
    folder, _, output = ablation
    measured = json.loads((folder / "out" / "results.json").read_text())["noise"]
    variants = ["full", "flat", "random groups", "name groups", "few"]
    assert list(measured)[:4] == ["zero-shot", "zero-shot-80", "zero-shot-local", "zero-shot-80-local"]
    assert list(measured)[4:] == [row for name in variants for row in (f"{name}, global", name)]
    assert all(len(values) == 2 for name, values in measured.items() if not name.startswith("zero-shot"))
    assert (folder / "out" / "results.md").read_text() in output
    configs = [json.loads(path.read_text()) for path in (folder / "out" / "models").glob("*/config.json")]
    assert len(configs) == 10
    assert sorted(config["num_shared_tokens"] for config in configs) == [2] * 8 + [4] * 2
    sizes = sorted(config["provenance"]["training_sentences"] for config in configs)
    assert sizes[:2] == [sizes[0]] * 2
    assert sizes[2] > sizes[1]


def test_a_second_run_learns_nothing_again(ablation):
    folder, command, output = ablation
    models = list((folder / "out" / "models").glob("*/model.safetensors"))
    stamps = [path.stat().st_mtime_ns for path in models]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert [path.stat().st_mtime_ns for path in models] == stamps
    assert again.output.splitlines()[-12:] == output.splitlines()[-12:]


def test_table_by_hand():
    """Spreads over seeds; that of the mean over datasets pairs the seeds."""
    table = markdown_table({"a": {"x": [0.5, 0.52], "zero": [0.4]}, "b": {"x": [0.3, 0.26], "zero": [0.2]}})
    assert table.splitlines()[2:] == [
        f"| x | 51.0 ± {np.sqrt(2):.1f} | 28.0 ± {np.sqrt(8):.1f} | 39.5 ± {np.sqrt(0.5):.1f} |",
        "| zero | 40.0 | 20.0 | 30.0 |",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- list", "needs 'data' and 'variants'"),
        ("a: [", "can't be read as YAML"),
        ("data: {d: {texts: t, path: p}}\nvariants: {v: {speed: 3}}", "'v' has speed; known are batch_size"),
        ("data: {d: {texts: t, path: p}}\nvariants: {v: {groups: best}}", "'v' has groups 'best'"),
        ("data: {d: {texts: t}}\nvariants: {v: {}}", "data 'd' needs texts and path"),
    ],
)
def test_bad_files(tmp_path, content, message):
    (tmp_path / "file.yaml").write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        read_ablation(tmp_path / "file.yaml")
