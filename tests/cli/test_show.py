"""`wordsight show` and the end of `wordsight describe`: what a person sees of what a language model wrote."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image

from tests.fixtures.llm import ScriptedLLM, good_answer
from tests.fixtures.process import wordsight
from wordsight.cli.texts_table import print_summary
from wordsight.description_gen import Category, Knowledge, load_texts, read_categories, texts_summary
from wordsight.description_gen.dataset import with_dropped, with_knowledge
from wordsight.description_gen.summary import CategorySummary, TextsSummary
from wordsight.hub import Destination, push_texts

WRITTEN_BY_0_2_0 = Path(__file__).parent.parent / "data" / "texts-0.2.0"


def rows(output):
    """The cells of the table's lines."""
    lines = [line.split("│")[1:-1] for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line] for line in lines]


def test_table_figures_and_sentences():
    result = wordsight("show", WRITTEN_BY_0_2_0, "--sentences", 3)
    assert result.returncode == 0, result.stderr
    dataset, _ = load_texts(WRITTEN_BY_0_2_0)
    summary = texts_summary(dataset)
    assert [row[:3] for row in rows(result.stdout)] == [
        [category.name, str(category.sentences), f"{100 * category.naming_all:.0f}%"] for category in summary.categories
    ]
    assert rows(result.stdout)[0][3:] == ["a cat, a dog", "dog 0.78, cup 0.55"]
    assert f"Name all that was asked: {100 * summary.naming_all:.0f}%" in result.stdout
    assert "Dropped: not counted" in result.stdout
    shown = [line.removeprefix("- ") for line in result.stdout.splitlines() if line.startswith("- ")]
    assert len(shown) == 3 and set(shown) <= set(dataset["text"])
    assert wordsight("show", WRITTEN_BY_0_2_0, "--sentences", 3).stdout == result.stdout
    assert wordsight("show", WRITTEN_BY_0_2_0, "--sentences", 3, "--seed", 1).stdout != result.stdout


def test_json_and_plot(tmp_path):
    result = wordsight("show", WRITTEN_BY_0_2_0, "--json", "--plot", tmp_path / "p.png", "--sentences", 100)
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert len(content.pop("examples")) == 40
    assert content == json.loads(json.dumps(asdict(texts_summary(load_texts(WRITTEN_BY_0_2_0)[0]))))
    assert Image.open(tmp_path / "p.png").width > 1000
    refused = wordsight("show", WRITTEN_BY_0_2_0, "--plot", tmp_path)
    assert refused.returncode == 1 and "--plot needs a file" in refused.stderr


def test_texts_on_the_hub_and_captions_of_ones_own(hub, tmp_path):
    dataset, knowledge = load_texts(WRITTEN_BY_0_2_0)
    with_dropped(dataset, {"cut off": 10}).save_to_disk(str(tmp_path / "texts"))
    knowledge.save(tmp_path / "texts" / "knowledge.json")
    push_texts(tmp_path / "texts", Destination("alice/shown-texts", token=hub.tokens["write"]))
    result = wordsight("show", "alice/shown-texts", env=os.environ | {"HF_TOKEN": hub.tokens["write"]})
    assert result.returncode == 0, result.stderr
    assert rows(result.stdout) == rows(wordsight("show", WRITTEN_BY_0_2_0).stdout)
    assert "Dropped: cut off 20%" in result.stdout
    (tmp_path / "captions.jsonl").write_text('{"text": "A cat and a dog.", "labels": ["cat", "dog"]}\n')
    own = wordsight("show", tmp_path / "captions.jsonl")
    assert rows(own.stdout) == [["cat", "1", "-", "", "dog 1"], ["dog", "1", "-", "", "cat 1"]], own.stderr
    nowhere = wordsight("show", "nowhere")
    assert nowhere.returncode == 1 and "no texts 'nowhere'" in nowhere.stderr


def test_many_categories_are_cut_to_the_rarest_and_that_is_said(tmp_path):
    categories = read_categories("coco")
    labels = [[int(k >= row) for k in range(80)] for row in range(80)]  # category k is in k + 1 sentences
    dataset = Dataset.from_dict({"text": [f"Sentence {row}." for row in range(80)], "labels": labels})
    knowledge = Knowledge(categories, "some/model", 0, scenes={"person": ["a very long name of a place" * 9]})
    with_knowledge(dataset, knowledge).save_to_disk(str(tmp_path))
    knowledge.save(tmp_path / "knowledge.json")
    result = wordsight("show", tmp_path, "--sentences", 0)
    assert [row[0] for row in rows(result.stdout)] == [category.name for category in categories[:24]]
    assert "80 categories" in result.stdout and f"For the other 56: wordsight show {tmp_path} --all" in result.stdout
    everything = wordsight("show", tmp_path, "--sentences", 0, "--all")
    assert [row[0] for row in rows(everything.stdout)] == [category.name for category in categories]
    assert "For the other" not in everything.stdout
    assert max(map(len, everything.stdout.splitlines())) <= 110


@pytest.mark.parametrize("names", [["cat", "cup, mug"]])
def test_describe_ends_with_the_table(names, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(names))
    texts = tmp_path / "texts"
    with ScriptedLLM(good_answer) as server:
        arguments = ("--base-url", server.base_url, "--sentences", 12, "--concurrency", 1)
        result = wordsight("describe", "--categories", tmp_path / "names.txt", "--out", texts, *arguments)
    assert result.returncode == 0, result.stderr
    dataset, knowledge = load_texts(texts)
    assert knowledge.categories[0] == Category("cat", knowledge.categories[0].synonyms)
    summary = texts_summary(dataset)
    assert [row[:2] for row in rows(result.stdout)] == [[c.name, str(c.sentences)] for c in summary.categories]
    assert f"Dropped: {summary.dropped_in_words}" in result.stdout
    assert result.stdout.endswith(f"{len(dataset)} sentences in {texts}\n")


def test_names_and_answers_are_shown_as_they_are(capsys):
    """Brackets and colons are no markup: a language model may write any."""
    category = CategorySummary("cat [old]", 1, 1, 1.0, ["a room [/x] :cat:"], {"dog [red]": 0.5}, {})
    print_summary(TextsSummary(1, "model[/b]", 1.0, 0.5, 0.0, None, [category]), "texts")
    output = capsys.readouterr().out
    assert rows(output) == [["cat [old]", "1", "100%", "a room [/x] :cat:", "dog [red] 0.50"]]
    assert "model[/b]" in output
