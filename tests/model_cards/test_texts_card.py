"""The card of sentences: the summary's figures, and pictures where they can be drawn."""

import io
import re
import shutil
import sys
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, HfApi, hf_hub_download
from PIL import Image

from tests.fixtures.texts import write_texts
from wordsight.description_gen import Category, load_texts, texts_summary
from wordsight.description_gen.dataset import with_dropped
from wordsight.hub import Destination, push_texts
from wordsight.model_cards import render_texts_card

WRITTEN_BY_0_2_0 = Path(__file__).parent.parent / "data" / "texts-0.2.0"
PICTURES = {"co_occurrence.png", "groups.png"}


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(WRITTEN_BY_0_2_0, tmp_path / "texts")


@pytest.fixture
def to(hub, request):
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    return Destination(f"alice/{name}", "dataset", token=hub.tokens["write"])


def pushed(to):
    """The card on the Hub, and the files beside it."""
    card = DatasetCard.load(hf_hub_download(to.repo_id, "README.md", repo_type="dataset", token=to.token))
    return card, set(HfApi(token=to.token).list_repo_files(to.repo_id, repo_type="dataset"))


def test_card_says_what_the_summary_says():
    dataset, knowledge = load_texts(WRITTEN_BY_0_2_0)
    summary = texts_summary(dataset)
    card = render_texts_card(with_dropped(dataset, {"refusal": 10}), knowledge, "alice/texts")
    cat = summary.categories[0]
    share = f"{100 * cat.naming_all:.0f}%"
    assert f"| 0 | cat | kitten | {cat.sentences} | {share} | a cat, a dog, a catwalk | dog, cup |" in card
    for row in (f"asked to | {100 * summary.naming_all:.0f}% |", f"| {summary.distinct_2:.2f} |", "| refusal 20% |"):
        assert row in card
    assert ".png" not in card
    assert "| not counted |" in render_texts_card(dataset, knowledge, "alice/texts")


def test_names_that_would_break_a_table(tmp_path):
    texts = write_texts(tmp_path, [Category("cat", ("a|b",)), Category("dog|s")], ["A cat and a dog|s."])
    card = render_texts_card(*load_texts(texts), "alice/texts")
    assert r"| 0 | cat | a\|b | 1 |" in card and r"| 1 | dog\|s |" in card


def test_pictures_are_pushed_and_shown_and_go_when_they_can_not_be_drawn(folder, to, monkeypatch):
    push_texts(folder, to)
    card, files = pushed(to)
    assert files >= PICTURES
    for name in PICTURES:
        assert f"]({name})" in card.text
        path = Path(hf_hub_download(to.repo_id, name, repo_type="dataset", token=to.token))
        assert Image.open(io.BytesIO(path.read_bytes())).width > 300
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".png") == []
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.warns(UserWarning, match=r"card has no pictures.*pip install 'wordsight\[plot\]'"):
        push_texts(folder, to)
    card, files = pushed(to)
    assert not files & PICTURES and ".png" not in card.text and "seen together are framed" not in card.text
    assert "## Quality" in card.text


def test_without_co_occurrence_there_is_nothing_to_draw(tmp_path, to):
    push_texts(write_texts(tmp_path / "texts", [Category("sun"), Category("moon")], ["The sun.", "The moon."]), to)
    card, files = pushed(to)
    assert not files & PICTURES and ".png" not in card.text
