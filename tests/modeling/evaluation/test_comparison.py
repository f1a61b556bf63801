"""Learned prompts against the strongest zero-shot row, as the report, the command's last line and the card have it."""

import json
import shutil

import numpy as np
import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from wordsight import train_prompts
from wordsight.cli import app
from wordsight.modeling.evaluation.comparison import compare_to_zero_shot
from wordsight.modeling.evaluation.options import DEFAULT_METHODS, ZERO_SHOT, model_labels, parse_methods
from wordsight.modeling.evaluation.results import Result
from wordsight.modeling.metrics import mean_average_precision
from wordsight.modeling.training.settings import arguments_of
from wordsight.utils.errors import InvalidInputError

COUNT = 24


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, texts_dir, tiny_clip_dir):
    """Models of three seeds."""
    root = tmp_path_factory.mktemp("seeds")
    for seed in range(3):
        args = arguments_of({"epochs": 1, "batch_size": 32, "seed": seed}, root / f"seed-{seed}")
        train_prompts(texts_dir, root / f"seed-{seed}", str(tiny_clip_dir), args=args)
    return [root / f"seed-{seed}" for seed in range(3)]


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("labeled") / "beach", COUNT)


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def rows(noise, labels, option="none"):
    """Rows of methods whose scores are the labels with some noise, and their scores."""
    rng = np.random.default_rng(0)
    scores = {(name, option): labels + scale * rng.normal(size=labels.shape) for name, scale in noise.items()}
    results = [
        Result(method, option, mean_average_precision(of_method, labels), (0, 1), {}, {}, None, 0, {})
        for (method, option), of_method in scores.items()
    ]
    return results, scores


LABELS = (np.random.default_rng(1).random((80, 5)) < 0.3).astype(int)


def test_the_zero_shot_row_with_the_highest_map_is_the_baseline():
    results, scores = rows({"zero-shot": 2, "zero-shot-80-local": 1, "names": 0.1, "learned": 0.5}, LABELS)
    found = compare_to_zero_shot(["learned"], results, scores, LABELS)
    maps = {row.method: row.map for row in results}
    assert (found["baseline"], found["zero_shot_rows"]) == ("zero-shot-80-local", 2)
    assert found["baseline_map"] == maps["zero-shot-80-local"] > maps["zero-shot"]
    assert found["difference"] == pytest.approx(maps["learned"] - maps["zero-shot-80-local"])
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    low, high = (f"{100 * end:+.1f}" for end in found["interval"])
    assert found["summary"] == (
        f"Learned prompts vs the strongest of 2 zero-shot rows (80 templates, both branches): "
        f"{100 * found['difference']:+.1f} mAP [{low}, {high}], better in {percent(found['win_rate'])}% of 1,000 "
        "resamples of the photos."
    )
    assert json.loads(json.dumps(found)) == found


def percent(share):
    return round(100 * share) if share in (0, 1) else min(max(round(100 * share), 1), 99)


def test_baseline_with_standardized_scores():
    """The strongest may be one with a score standardization; the model is as it scores photos."""
    plain, scores = rows({"zero-shot": 2, "learned": 1}, LABELS)
    standardized, of_those = rows({"zero-shot": 1.5, "learned": 0.1}, LABELS, "images")
    own, of_own = rows({"learned": 0.7}, LABELS, "checkpoint")
    results, scores = [*plain, *standardized], scores | of_those
    found = compare_to_zero_shot(["learned"], results, scores, LABELS, resamples=10)
    assert found["baseline_score_standardization"] == "images"
    assert 'zero-shot row measured (one template, global branch, scores "images")' in found["summary"]
    assert found["difference"] == pytest.approx(plain[1].map - standardized[0].map)
    found = compare_to_zero_shot(["learned"], [*results, *own], scores | of_own, LABELS, resamples=10)
    assert found["difference"] == pytest.approx(own[0].map - standardized[0].map)


def test_equal_scores_are_no_gain():
    results, scores = rows({"zero-shot": 1}, LABELS)
    results.append(Result("learned", "none", results[0].map, (0, 1), {}, {}, None, 0, {}))
    scores["learned", "none"] = scores["zero-shot", "none"]
    found = compare_to_zero_shot(["learned"], results, scores, LABELS)
    assert found["summary"].endswith(": +0.0 mAP [+0.0, +0.0], better in 0% of 1,000 resamples of the photos.")


def test_without_a_model_or_a_zero_shot_row_there_is_none():
    results, scores = rows({"zero-shot": 2, "names": 1, "learned": 1}, LABELS)
    assert compare_to_zero_shot([], results, scores, LABELS) is None
    assert compare_to_zero_shot(["learned"], results[1:], scores, LABELS) is None


def test_by_default_all_zero_shot_rows_are_measured():
    assert parse_methods(DEFAULT_METHODS) == [*ZERO_SHOT, "learned"]


def test_command_says_it_last_and_the_card_has_it(seeds, photos_dir, tmp_path):
    folder, out = shutil.copytree(seeds[0], tmp_path / "model"), tmp_path / "report.json"
    result = evaluate(folder, "--data", photos_dir, "--json", out, "--plots", tmp_path / "plots")
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    found = report["comparison"]
    assert result.stdout.splitlines()[-1] == found["summary"]
    assert found["summary"].startswith("Learned prompts vs the strongest of 5 zero-shot rows (")
    assert "[" in found["summary"] and found["summary"].endswith("% of 1,000 resamples of the photos.")
    best = max((row for row in report["results"] if row["method"] in ZERO_SHOT), key=lambda row: row["map"])
    mine = report["results"][-1]
    assert (found["baseline"], mine["method"], report["model"]) == (best["method"], "learned", str(folder))
    assert found["difference"] == pytest.approx(mine["map"] - best["map"])
    card = (folder / "README.md").read_text()
    assert f"- beach: {found['summary']}" in card
    low, high = found["interval"]
    cells = f"| {100 * best['map']:.1f} | {100 * found['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] |"
    assert cells in card
    figures = {entry.metric_name: entry.metric_value for entry in ModelCard(card).data.eval_results}
    assert figures["mAP over the strongest zero-shot row"] == round(100 * found["difference"], 2)


def test_command_without_zero_shot_says_nothing(seeds, photos_dir, tmp_path):
    folder, out = shutil.copytree(seeds[0], tmp_path / "model"), tmp_path / "report.json"
    result = evaluate(folder, "--data", photos_dir, "--methods", "learned", "--json", out)
    assert result.exit_code == 0, result.output
    assert "Learned prompts" not in result.stdout and json.loads(out.read_text())["comparison"] is None
    card = (folder / "README.md").read_text()
    assert "| beach | 24 |" in card and "strongest zero-shot" not in card


def test_several_models_are_one_comparison(seeds, photos_dir, tmp_path):
    """Each seed has its own row, as if it were measured alone, and its own card."""
    folders = [shutil.copytree(seed, tmp_path / seed.name) for seed in seeds]
    out, alone = tmp_path / "report.json", tmp_path / "alone.json"
    result = evaluate(*folders, "--data", photos_dir, "--json", out, "--methods", "learned,zero-shot,zero-shot-local")
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    found = report["comparison"]
    assert report["models"] == [str(folder) for folder in folders]
    assert list(found["by_model"]) == [f"learned (seed-{seed})" for seed in range(3)]
    maps = {row["method"]: row["map"] for row in report["results"]}
    assert list(maps) == ["zero-shot", "zero-shot-local", *found["by_model"]]
    each = [maps[method] - maps[found["baseline"]] for method in found["by_model"]]
    assert list(found["by_model"].values()) == pytest.approx(each)
    assert found["difference"] == pytest.approx(np.mean(each))
    shown = ", ".join(f"{round(100 * difference, 1) + 0.0:+.1f}" for difference in each)
    assert found["summary"].startswith(
        f"Learned prompts (mean of 3 models: {shown}) vs the strongest of 2 zero-shot rows"
    )
    assert found["summary"].endswith("resamples of the photos and of the models.")
    assert result.stdout.splitlines()[-1] == found["summary"]
    second = evaluate(seeds[1], "--data", photos_dir, "--json", alone, "--methods", "learned")
    assert second.exit_code == 0, second.output
    (row,) = json.loads(alone.read_text())["results"]
    assert row | {"method": "learned (seed-1)"} in report["results"]
    for folder, seed in zip(folders, range(3), strict=True):
        (entry,) = json.loads((folder / "evaluation.json").read_text())["evaluations"]
        assert entry["map"] == maps[f"learned (seed-{seed})"] and entry["comparison"] == found
        assert found["summary"] in (folder / "README.md").read_text()


def test_models_that_are_not_runs_of_one_setting(seeds, photos_dir, tmp_path):
    other = shutil.copytree(seeds[0], tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"local_weight": 0.3}))
    result = evaluate(seeds[1], other, "--data", photos_dir)
    assert isinstance(result.exception, InvalidInputError)
    assert "The models seed-1 and other have other local weight." in str(result.exception)
    twice = evaluate(seeds[1], seeds[1], "--data", photos_dir)
    assert isinstance(twice.exception, InvalidInputError) and "is given twice" in str(twice.exception)


def test_labels_tell_models_apart():
    assert model_labels(["runs/seed-0", "user/seed-1"]) == ["seed-0", "seed-1"]
    assert model_labels(["a/model", "b/model"]) == ["a/model", "b/model"]
    assert model_labels(["model"]) == ["model"]
