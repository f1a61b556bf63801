"""A category's description, which says what an ambiguous name means, in prompts, configurations, models and cards."""

import pytest
import torch

from tests.fixtures.texts import write_texts
from wordsight import Category, WordsightConfig, WordsightForMultiLabelImageClassification, load_texts, train_prompts
from wordsight.model_cards import render_texts_card
from wordsight.modeling.category_embeddings import zero_shot_embeddings
from wordsight.modeling.training.data import template_sentences
from wordsight.modeling.training.extend import extend_model
from wordsight.modeling.training.settings import arguments_of

from_encoder = WordsightForMultiLabelImageClassification.from_encoder
BIRD, MACHINE = ["crane, cranes: the bird", "boat"], ["crane, cranes: the machine", "boat"]
CATEGORIES = [Category("crane", ("cranes",), "the bird"), Category("boat")]


def test_the_text_encoder_reads_it_and_the_label_stays_short(text_encoder, encoder_name):
    bird, machine, plain = (
        from_encoder(encoder_name, names, text_encoder=text_encoder)
        for names in (BIRD, MACHINE, ["crane, cranes", "boat"])
    )
    assert bird.config.id2label == {0: "crane", 1: "boat"}
    ids = text_encoder.tokenizer("crane, the bird", add_special_tokens=False)["input_ids"]
    layout = bird.embedder.layout.whole
    row = layout.input_ids[0][layout.attention_mask[0].bool() & ~layout.soft_positions[0]].tolist()
    assert str(ids).strip("[]") in str(row)
    for one, other in ((bird, machine), (bird, plain)):
        for first, second in zip(one.prompt_embeddings(), other.prompt_embeddings(), strict=True):
            assert not torch.allclose(first[0], second[0], atol=1e-4)
        assert not torch.allclose(one.global_embeddings[0], other.global_embeddings[0], atol=1e-4)


def test_zero_shot_texts_and_templates_say_it(text_encoder):
    described = zero_shot_embeddings(CATEGORIES, text_encoder)
    written_out = zero_shot_embeddings(
        [Category("crane, the bird", ("cranes, the bird",)), Category("boat")], text_encoder
    )
    torch.testing.assert_close(described, written_out)
    texts = [text for text, _ in template_sentences(CATEGORIES)]
    assert texts == ["a photo of a crane, the bird.", "a photo of a cranes, the bird.", "a photo of a boat."]


def test_configurations_keep_it_and_older_ones_have_none(tmp_path):
    config = WordsightConfig(id2label={0: "crane", 1: "boat"}, descriptions={"crane": "the bird"})
    config.save_pretrained(tmp_path)
    loaded = WordsightConfig.from_pretrained(tmp_path)
    assert loaded.categories == config.categories == [Category("crane", (), "the bird"), Category("boat")]
    old = WordsightConfig.from_dict(
        {"format_version": 3, "id2label": {"0": "crane"}, "synonyms": {"crane": ["cranes"]}}
    )
    assert old.categories == [Category("crane", ("cranes",))]


@pytest.fixture(scope="module")
def described(tmp_path_factory, tiny_clip_dir):
    """Texts about cranes and boats, and a model trained on them."""
    folder = tmp_path_factory.mktemp("described")
    sentences = [
        f"A {what} {how}." for what in ("crane", "boat", "crane by a boat") for how in ("waits", "rests", "moves")
    ]
    write_texts(folder / "texts", CATEGORIES, sentences)
    args = arguments_of({"epochs": 1, "batch_size": 4}, folder / "model")
    train_prompts(folder / "texts", folder / "model", str(tiny_clip_dir), args=args)
    return folder


def test_training_extending_and_cards_keep_it(described, tmp_path):
    write_texts(tmp_path / "more", [Category("bat", (), "the animal")], ["A bat sleeps.", "A bat flies.", "Two bats."])
    extend_model(described / "model", tmp_path / "more", tmp_path / "larger", epochs=1)
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "larger")
    assert loaded.config.categories == [*CATEGORIES, Category("bat", (), "the animal")]
    assert "crane (the bird)" in render_texts_card(*load_texts(described / "texts"), "me/texts")
    assert "bat (the animal)" in (tmp_path / "larger" / "README.md").read_text()
