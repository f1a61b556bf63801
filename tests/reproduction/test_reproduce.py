"""`wordsight reproduce` on miniatures of the datasets' layouts, with a tiny random CLIP and existing sentences."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.fixtures.layouts import PHOTOS, write_layout
from tests.fixtures.llm import ScriptedLLM, good_answer
from tests.fixtures.texts import write_texts
from wordsight.cli.main import app
from wordsight.description_gen import Category, load_texts, read_categories
from wordsight.modeling.evaluation.options import METHODS
from wordsight.reproduction.estimates import Sizes, describing, evaluating, in_words, training
from wordsight.reproduction.settings import ReproductionSettings
from wordsight.reproduction.table import as_json, as_markdown, published
from wordsight.utils.errors import InvalidInputError

QUICK = "zero-shot,learned"
STEPS = ("describe", "train", "evaluate")  # as lines begin where one is done


@pytest.fixture(scope="module")
def texts_of(tmp_path_factory):
    def write(dataset):
        names = [category.name for category in read_categories(dataset)]
        sentences = [f"A {a} next to a {b}." for a, b in zip(names, names[1:] + names[:1], strict=True)]
        return write_texts(tmp_path_factory.mktemp("texts") / dataset, [*map(Category, names)], sentences)

    return write


def run(dataset, data, out, *options):
    arguments = ["reproduce", dataset, "--data", str(data), "--out", str(out), "--epochs", "1", *map(str, options)]
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def voc(tmp_path_factory, texts_of, tiny_clip_dir):
    """A whole reproduction of VOC2007's miniature, and what the command was called with."""
    folder = tmp_path_factory.mktemp("reproduction")
    data, out = write_layout("voc2007", folder / "VOCdevkit"), folder / "out"
    options = ("--encoder", tiny_clip_dir, "--texts", texts_of("voc2007"))
    result = run("voc2007", data, out, *options, "--seeds", "0")
    assert result.exit_code == 0, result.output
    return result, data, out, options


def test_every_method_has_a_row_beside_the_published_figures(voc):
    result, _, out, _ = voc
    content = json.loads((out / "table.json").read_text())
    report = json.loads((out / "figures.json").read_text())
    assert [row["method"] for row in content["rows"]] == list(METHODS)
    assert content["photos"] == PHOTOS and content["benchmark"] == "VOC2007 test"
    found = {(row["method"], row["score_standardization"]): 100 * row["map"] for row in report["results"]}
    rows = {row["method"]: row["map"] for row in content["rows"]}
    assert rows["learned"]["none"] == [found["learned", "none"]]
    assert rows["zero-shot"]["images"] == [found["zero-shot", "images"]]
    lines = (out / "table.md").read_text().splitlines()
    learned = next(line for line in lines if line.startswith("| learned:"))
    assert f"| {found['learned', 'none']:.1f} |" in learned and learned.endswith("| this run |")
    assert "| zero-shot CLIP, 80 templates | ViT-B/16 | 79.9 | | | | [table 2](https://arxiv.org/abs/2502.16911) |" in [
        line.replace("|  ", "| ") for line in lines
    ]
    assert content["comparison"]["summary"] in lines
    assert "\n".join(lines) in result.output


def test_it_says_first_what_each_step_takes_and_from_what(voc):
    output = voc[0].output
    assert "Estimates for one GPU, by arithmetic and not measured" in output
    plan, done = output.index("  train, seed 0: under a minute"), output.index("train, seed 0 ...")
    assert plan < output.index("  evaluate, seed 0, all methods: ") < done
    assert "describe" not in output[plan:done]  # the sentences are there


def test_the_models_figures_are_those_of_evaluate(voc):
    _, data, out, _ = voc
    file = out.parent / "evaluated.json"
    options = ["--format", "voc2007", "--methods", "learned", "--scores", "none", "--json", str(file)]
    result = CliRunner().invoke(app, ["evaluate", str(out / "seed-0"), "--data", str(data), *options])
    assert result.exit_code == 0, result.output
    (row,) = [row for row in json.loads(file.read_text())["results"] if row["score_standardization"] == "none"]
    rows = {row["method"]: row["map"] for row in json.loads((out / "table.json").read_text())["rows"]}
    assert rows["learned"]["none"][0] == pytest.approx(100 * row["map"])


def test_finished_steps_are_not_done_again(voc, tmp_path):
    _, data, finished, options = voc
    out = shutil.copytree(finished, tmp_path / "out")
    weights, table = (out / "seed-0" / "model.safetensors").stat().st_mtime_ns, (out / "table.md").read_text()
    (out / "table.md").unlink()

    def again(*more):
        result = run("voc2007", data, out, *options, *more)
        assert result.exit_code == 0, result.output
        return [line for line in result.output.splitlines() if line.startswith(STEPS)], result.output

    done, output = again("--seeds", "0")
    assert not done and "  train, seed 0: done" in output and (out / "table.md").read_text() == table
    fewer = ("--seeds", "0", "--methods", "learned")
    assert again(*fewer)[0] == ["evaluate, seed 0, learned ..."]
    one = (out / "table.md").read_text()
    assert again("--seeds", "0", "--methods", "learned-global")[0] == ["evaluate, seed 0, learned-global ..."]
    # What was measured since is of other methods.
    assert again(*fewer)[0] == ["evaluate, seed 0, learned ..."] and (out / "table.md").read_text() == one
    assert (out / "seed-0" / "model.safetensors").stat().st_mtime_ns == weights


def test_another_encoder_needs_another_folder(voc, tiny_siglip_dir):
    _, data, out, options = voc
    with pytest.raises(InvalidInputError, match=r"of a reproduction with another encoder. Pass another --out"):
        raise run("voc2007", data, out, "--encoder", tiny_siglip_dir, *options[2:]).exception


@pytest.mark.parametrize(("dataset", "name"), [("coco", "COCO val2014"), ("nuswide", "NUS-WIDE test")])
def test_other_layouts(dataset, name, tmp_path, texts_of, tiny_clip_dir):
    data = write_layout(dataset, tmp_path / "data")
    options = ("--encoder", tiny_clip_dir, "--texts", texts_of(dataset), "--seeds", "5", "--methods", QUICK)
    result = run(dataset, data, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "table.json").read_text())
    assert content["benchmark"] == name and not content["notes"]  # no photo and no label is missing
    assert [row["method"] for row in content["rows"]] == QUICK.split(",")


def test_a_language_model_describes_first(tmp_path, tiny_clip_dir):
    data = write_layout("voc2007", tmp_path / "VOCdevkit")
    with ScriptedLLM(good_answer) as server:
        llm = ("--base-url", server.base_url, "--sentences", 40)
        quick = ("--encoder", tiny_clip_dir, "--seeds", "3", "--methods", "learned")
        result = run("voc2007", data, tmp_path / "out", *llm, *quick)
        assert result.exit_code == 0, result.output
        asked = len(server.requests)
        again = run("voc2007", data, tmp_path / "out", *llm, *quick)
        assert "describe: done" in again.output and len(server.requests) == asked > 0
    assert "describe: about 2 min" in result.output
    categories = load_texts(tmp_path / "out" / "texts")[1].categories
    assert [category.name for category in categories] == [category.name for category in read_categories("voc2007")]


def test_sentences_must_be_about_the_datasets_categories(tmp_path, texts_dir):
    data = write_layout("voc2007", tmp_path / "VOCdevkit")
    with pytest.raises(InvalidInputError, match=r"about cat, dog, car, cup, and voc2007 has aeroplane, bicycle"):
        raise run("voc2007", data, tmp_path / "out", "--texts", texts_dir).exception


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("cifar", "--data", "."), "'cifar' can't be reproduced. Pass one of coco, voc2007, nuswide."),
        (("coco", "--data", "nowhere"), "there is no nowhere"),
        (("coco", "--data", ".", "--seeds", "1,1"), "--seeds needs different numbers"),
        (("coco", "--data", ".", "--texts", ".", "--llm", "qwen2.5-0.5b"), "omit --llm"),
        (("coco", "--data", ".", "--methods", "best"), "No method 'best'"),
        (("coco", "--data", "."), r"holds no annotations/instances_val2014.json"),  # before any language model
    ],
)
def test_what_can_not_be_used_is_said_at_once(options, message, tmp_path):
    with pytest.raises(InvalidInputError, match=message):
        raise CliRunner().invoke(app, ["reproduce", *options, "--out", str(tmp_path / "out")]).exception


def test_published_figures_name_their_source():
    for dataset, figures in {"coco": 7, "voc2007": 6, "nuswide": 5}.items():
        rows, notes = published(dataset)
        assert len(rows) == figures
        assert all(30 < row["map"] < 100 and row["source"].startswith("https://arxiv.org/") for row in rows)
    assert any("2403.01209" in note for note in notes)


def test_seeds_are_averaged_method_by_method():
    settings = ReproductionSettings("coco", Path("photos"), Path("out"), "some/clip", seeds=(0, 1, 7))
    measured = {"learned (seed-0)": 0.501, "learned (seed-1)": 0.52, "learned (seed-7)": 0.56, "zero-shot": 0.4}
    report = {
        "benchmark": "COCO val2014",
        "photos": 3,
        "notes": [],
        "comparison": None,
        "results": [
            {"method": method, "score_standardization": option, "map": value + (option == "images") / 10}
            for method, value in measured.items()
            for option in ("none", "images", "checkpoint")
        ],
    }
    content = as_json(settings, report, ["seed-0", "seed-1", "seed-7"])
    assert [row["method"] for row in content["rows"]] == ["zero-shot", "learned"]
    np.testing.assert_allclose(content["rows"][1]["map"]["images"], [60.1, 62, 66])
    learned = f"{np.mean([50.1, 52, 56]):.1f} ± {np.std([50.1, 52, 56], ddof=1):.1f}"
    table = as_markdown(content)
    assert f"| some/clip | {learned} | 62.7 ± 3.0 |  |  | this run |" in table and "seeds 0, 1, 7" in table
    assert "| 40.0 | 50.0 |  |  | this run |" in table


def test_estimates_by_hand():
    sizes = Sizes(
        categories=10,
        sentences=1000,
        photos=3000,
        text_parameters=1_000_000,
        image_parameters=2_000_000,
        positions=100,
        epochs=2,
        batch_size=300,
    )
    assert describing(sizes) == pytest.approx(120 + (1000 * 60 + 10 * 400) / 2000)
    # 2 epochs of 4 steps; forth and back is three times forth; 10 prompts of 22 tokens in two branches.
    expected = 2e6 * (8 * 3 * 2 * 10 * 22 + 1000 * 22) / 10e12
    assert training(sizes) == pytest.approx(expected)
    names = 2e6 * 10 * 10 * 81 * 22 / 10e12
    assert evaluating(sizes, ["zero-shot-80", "flat"]) == pytest.approx(expected + names + 3000 / 300)
    large = dataclasses.replace(sizes, image_parameters=1_000_000_000)  # 60 s to encode, 10 s to decode
    assert evaluating(large, ["learned", "combined"]) == pytest.approx(names / 81 + 60 + 2.25 * 60)
    assert [in_words(seconds) for seconds in (59, 60, 400, 9000)] == [
        "under a minute",
        "about 1 min",
        "about 7 min",
        "about 2.5 h",
    ]
