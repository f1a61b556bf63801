"""Cards: valid, complete, and a person's edits outlive whatever is generated."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image

from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight
from tests.modeling.test_checks import OLD
from wordsight import WordsightForMultiLabelImageClassification
from wordsight.hub import Destination, push_checkpoint
from wordsight.hub.folder import write_card_and_pictures
from wordsight.model_cards import render_model_card
from wordsight.model_cards.edits import for_push, keep_edits, sign
from wordsight.pipelines.calibrate import calibrate_checkpoint
from wordsight.utils.errors import InvalidInputError

FIRST = """---
library_name: wordsight
tags:
- one
---

<!-- wordsight:begin intro -->
# Old title
<!-- wordsight:end -->

<!-- wordsight:begin numbers -->
1
<!-- wordsight:end -->
"""
SECOND = FIRST.replace("Old title", "New title").replace("1\n", "2\n").replace("- one", "- one\n- two")
SECOND = SECOND.replace("library_name", "metrics:\n- map\nlibrary_name")


def test_untouched_card_is_renewed():
    assert keep_edits(sign(FIRST), sign(SECOND)) == sign(SECOND)


def test_edits_are_kept():
    edited = sign(FIRST).replace("# Old title", "# My title").replace("1\n", "1\n", 1)
    edited = edited.replace("<!-- wordsight:begin numbers", "Between.\n\n<!-- wordsight:begin numbers")
    edited = edited.replace("- one", "- one\n- mine\nlicense: mit")
    renewed = keep_edits(edited, sign(SECOND))
    assert "# My title" in renewed and "New title" not in renewed
    assert "Between." in renewed and "2\n" in renewed
    data = ModelCard(renewed).data
    assert data.license == "mit" and data.tags == ["one", "mine"] and data.metrics == ["map"]
    assert keep_edits(renewed, sign(FIRST)).count("# My title") == 1, "and so they are the next time"


def test_what_was_deleted_stays_away():
    start = sign(FIRST).index("<!-- wordsight:begin numbers")
    end = sign(FIRST).index("<!-- wordsight:record")
    cut = (sign(FIRST)[:start] + sign(FIRST)[end:]).replace("library_name: wordsight\n", "")
    renewed = keep_edits(cut, sign(SECOND))
    assert "numbers -->" not in renewed.partition("wordsight:record")[0] and "New title" in renewed
    assert ModelCard(renewed).data.library_name is None


def test_new_blocks_come_and_windows_line_ends_are_fine():
    more = SECOND + "\n<!-- wordsight:begin extra -->\nMore.\n<!-- wordsight:end -->\n"
    renewed = keep_edits(sign(FIRST).replace("\n", "\r\n"), sign(more))
    assert "More." in renewed and "New title" in renewed


def test_own_words_are_left_alone():
    renewed = keep_edits("# All mine\n", sign(FIRST))
    assert ModelCard(renewed).text.strip() == "# All mine" and ModelCard(renewed).data.library_name == "wordsight"
    assert "New title" in keep_edits("---\nlicense: mit\n---\n", sign(SECOND)), "metadata alone is no text"


def test_push_after_push():
    local = sign(FIRST)
    published, conflict = for_push(sign(FIRST), local, None)
    assert not conflict
    edited_there = published + "\nThere.\n"
    for _ in range(2):  # the Hub's edits stay when this side has none, however often
        edited_there, conflict = for_push(sign(SECOND), keep_edits(local, sign(SECOND)), edited_there)
        assert not conflict and "There." in edited_there and "New title" in edited_there
    edited_here = local + "\nHere.\n"
    card, conflict = for_push(sign(SECOND), edited_here, published)
    assert not conflict and "Here." in card
    card, conflict = for_push(sign(FIRST), edited_here, card)
    assert not conflict and card.count("Here.") == 1
    card, conflict = for_push(sign(SECOND), edited_here, edited_there)
    assert conflict and "There." in card and "Here." not in card
    made_on_hub = "---\nlicense: mit\n---\n"
    card, conflict = for_push(sign(FIRST), edited_here, made_on_hub)
    assert not conflict and "Here." in card and ModelCard(card).data.license == "mit"


def test_own_words_can_be_changed_here():
    published, _ = for_push(sign(FIRST), "# Mine\n", None)
    assert for_push(sign(FIRST), "# Mine\n", published) == (published, False)
    changed, conflict = for_push(sign(FIRST), "# Mine, once more\n", published)
    assert "# Mine, once more" in changed and not conflict


def test_generated_card_of_format_1_is_renewed():
    old = (OLD / "README.md").read_text()
    assert "# New title" in keep_edits(old, sign(SECOND)) and "categories, learned" not in keep_edits(old, sign(SECOND))
    assert "My words" in keep_edits(old + "\n\nMy words\n", sign(SECOND)), "but not one that somebody wrote in"


def test_new_blocks_are_no_edit_of_a_persons():
    published, _ = for_push(sign(FIRST), sign(FIRST), None)
    more = sign(SECOND + "\n<!-- wordsight:begin extra -->\nMore.\n<!-- wordsight:end -->\n")
    card, conflict = for_push(more, sign(FIRST), published + "\nThere.\n")
    assert not conflict and "There." in card and "More." in card


@pytest.mark.parametrize("metadata", ["{[", "- a list", "on: true"])
def test_metadata_that_is_none(metadata):
    with pytest.raises(InvalidInputError, match="not valid YAML"):
        keep_edits(f"---\n{metadata}\n---\n\n# Text\n", sign(FIRST))


@pytest.fixture
def folder(published, tmp_path):
    return shutil.copytree(published.folder, tmp_path / "pets")


def test_metadata_and_text(published, hub):
    card = ModelCard.load(published.repo_id)
    card.validate()
    data = card.data
    assert isinstance(data, ModelCardData) and data.library_name == "transformers"
    assert data.pipeline_tag == "image-classification" and data.metrics == ["map", "f1"]
    assert data.base_model == "alice/tiny-clip" and data.base_model_relation == "adapter"
    assert "multi-label" in data.tags and data.eval_results is None
    assert "| cat | kitten |" in card.text and "not measured on photos" in card.text.lower()
    for words in ("arXiv 2403.01209", "yang2024datafree", "Limits and bias", "the shape of a cat", "templates"):
        assert words in card.text, words


def test_pictures_are_pictures(published):
    for name in ("training_curve.png", "categories.png"):
        with Image.open(published.folder / name) as picture:
            assert picture.width > 300 and len(picture.convert("L").getcolors()) > 10
            assert name in (published.folder / "README.md").read_text()


def test_evaluation_goes_into_the_card(folder, hub, tmp_path):
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nMy own words.\n")
    photos = write_photos(tmp_path / "my-photos", 30)
    result = wordsight("evaluate", folder, "--data", photos, "--methods", "learned", "--json", tmp_path / "r.json")
    assert result.returncode == 0, result.stderr
    (measured,) = json.loads((tmp_path / "r.json").read_text())["results"]
    push_checkpoint(folder, Destination("alice/measured", token=hub.tokens["write"]))
    pushed = ModelCard.load("alice/measured")
    pushed.validate()
    results = {entry.metric_name: entry for entry in pushed.data.eval_results}
    assert results["mAP"].metric_value == pytest.approx(100 * measured["map"], abs=0.01)
    assert results["CF1@3"].metric_type == "f1" and results["mAP"].task_type == "image-classification"
    assert f"| {100 * measured['map']:.1f} |" in pushed.text and "My own words." in pushed.text
    again = wordsight("evaluate", folder, "--data", photos, "--methods", "learned,zero-shot")
    assert again.returncode == 0, again.stderr
    assert len(json.loads((folder / "evaluation.json").read_text())["evaluations"]) == 1, "the same photos, once"


def test_figures_are_of_the_scores_that_were_measured(folder, tmp_path):
    (folder / "evaluation.json").write_text(json.dumps({"evaluations": []}))
    calibrate_checkpoint(str(folder), [write_photos(tmp_path / "photos", 5)], "images")
    assert not (folder / "evaluation.json").exists() and "`images`" in (folder / "README.md").read_text()


def test_names_that_would_break_a_table(folder):
    config = json.loads((folder / "config.json").read_text())
    config["synonyms"] = {"cat": ["a|b", "c"]}
    (folder / "config.json").write_text(json.dumps(config))
    assert r"| cat | a\|b, c |" in render_model_card(folder)


def test_a_card_of_ones_own_stays_and_that_is_said(folder):
    (folder / "README.md").write_text("# Mine\n")
    with pytest.warns(UserWarning, match="stays as it is; delete it"):
        write_card_and_pictures(folder)
    assert "# Mine" in (folder / "README.md").read_text() and "arXiv" not in (folder / "README.md").read_text()


def test_counts_agree_with_their_nouns(folder, tmp_path):
    assert "which of 4 categories a photo shows" in render_model_card(folder)
    assert "prompts were learned from them" in render_model_card(folder)
    model = WordsightForMultiLabelImageClassification.from_encoder("imagenet", ["cat"])
    model.save_pretrained(tmp_path / "one")
    text = write_card_and_pictures(tmp_path / "one").read_text()
    assert "which of 1 category a photo shows" in text and "prompts are not trained yet" in text


def test_folder_with_nothing_but_the_model(folder):
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors", "preprocessor_config.json"):
            path.unlink()
    text = write_card_and_pictures(folder).read_text()
    assert "no `training_log.json`" in text and "no `knowledge.json`" in text and ".png" not in text
