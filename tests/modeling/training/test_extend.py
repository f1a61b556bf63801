"""New categories for a trained model, and groups as a user sees and edits them."""

import json

import pytest
import torch
from PIL import Image
from torch.nn.modules.module import register_module_forward_hook
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.texts import CATEGORIES, write_texts
from wordsight import WordsightForMultiLabelImageClassification, train_prompts
from wordsight.cli import app
from wordsight.description_gen import Category, Knowledge
from wordsight.modeling.training.extend import extend_model
from wordsight.modeling.training.settings import arguments_of
from wordsight.pipelines.calibrate import calibrate_checkpoint
from wordsight.utils.errors import InvalidInputError

NEW = [Category("horse", ("pony",)), Category("lorry")]
GROUPS = {"attribute_groups": [["cat", "dog"], ["car", "cup"]], "cooccurrence_groups": [["cat", "cup"], ["car", "dog"]]}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, texts_dir, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("old")
    (folder / "groups.json").write_text(json.dumps(GROUPS))
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-2, "prior_weight": 0.5, "mean_shift": True}
    args = arguments_of(settings, folder / "model")
    train_prompts(texts_dir, folder / "model", str(tiny_clip_dir), args=args, groups=folder / "groups.json")
    return folder / "model"


@pytest.fixture(scope="module")
def new_texts(tmp_path_factory):
    """Sentences about two new categories, some with an old one; the horse is said to be seen with cars."""
    sentences = [
        f"A {new} {verb} the {old}."
        for new in ("horse", "pony", "lorry")
        for old in (("cup", "house") if new == "lorry" else ("car", "dog", "house"))
        for verb in ("stands beside", "is behind", "waits for", "passes")
    ]
    folder = write_texts(tmp_path_factory.mktemp("new") / "texts", NEW, sentences)
    knowledge = Knowledge.load(folder / "knowledge.json")
    Knowledge(
        knowledge.categories, "templates", 0, knowledge.attributes, {}, {"horse": {"car": 0.9}, "lorry": {"cup": 1.0}}
    ).save(folder / "knowledge.json")
    return folder


@pytest.fixture(scope="module")
def extended(model_dir, new_texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("extended") / "model"
    result = CliRunner().invoke(app, ["extend", str(model_dir), str(new_texts), "--out", str(out), "--epochs", "6"])
    assert result.exit_code == 0, result.output
    assert "horse: looks like" in result.output
    assert "6 categories in" in result.output
    return WordsightForMultiLabelImageClassification.from_pretrained(out), out


def test_old_categories_stay_to_the_bit(model_dir, extended):
    old, (new, _) = WordsightForMultiLabelImageClassification.from_pretrained(model_dir), extended
    assert new.config.category_names == ["cat", "dog", "car", "cup", "horse", "lorry"]
    for branch in ("global", "local"):
        mine, theirs = (getattr(model.prompts, f"{branch}_branch").levels for model in (new, old))
        for level in ("shared", "attribute", "cooccurrence"):
            assert torch.equal(mine[level], theirs[level])
        assert torch.equal(mine["category"][:4], theirs["category"])
        assert mine["category"].shape[0] == 6
        assert torch.equal(getattr(new, f"{branch}_embeddings")[:4], getattr(old, f"{branch}_embeddings"))
    pixels = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(new(pixels).logits[:, :4], old(pixels).logits)
    assert new.config.score_threshold[:4] == old.config.score_threshold
    assert len(new.config.score_threshold) == 6
    assert new.config.synonyms["horse"] == ["pony"]


def test_new_categories_join_old_groups(extended):
    config = extended[0].config
    assert len(config.attribute_groups) == len(config.cooccurrence_groups) == 2
    assert "horse" in config.cooccurrence_groups[1]  # with the car
    assert "lorry" in config.cooccurrence_groups[0]  # with the cup
    assert {"horse", "lorry"} <= {name for group in config.attribute_groups for name in group}


def test_new_categories_are_learned(extended):
    model, out = extended
    history = json.loads((out / "training_log.json").read_text())["history"]
    assert len(history) == 6
    assert history[-1]["loss"] < history[0]["loss"]
    assert not any(path.name.startswith("checkpoint") for path in out.iterdir())
    knowledge = Knowledge.load(out / "knowledge.json")
    assert [category.name for category in knowledge.categories] == model.config.category_names


def test_an_extended_model_can_be_extended(extended, tmp_path):
    sentences = [f"A tree near the {name}." for name in ("cat", "cup", "horse", "lorry")]
    texts = write_texts(tmp_path / "texts", [Category("tree")], sentences)
    again = extend_model(extended[1], texts, tmp_path / "model", epochs=1)
    assert again.config.category_names[-2:] == ["lorry", "tree"]


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_the_text_encoder_computes_in_the_precision_that_is_asked_for(model_dir, new_texts, tmp_path, precision, dtype):
    computed = set()

    def note(module, inputs, output):
        if isinstance(module, torch.nn.Linear) and output.requires_grad:  # on the way of the prompts
            computed.add(output.dtype)

    hook = register_module_forward_hook(note)
    try:
        model = extend_model(model_dir, new_texts, tmp_path / "model", epochs=1, mixed_precision=precision)
    finally:
        hook.remove()
    assert computed == {dtype}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert (
        json.loads((tmp_path / "model" / "training_log.json").read_text())["training"]["mixed_precision"] == precision
    )


def test_refusals(model_dir, new_texts, texts_dir, tmp_path):
    with pytest.raises(InvalidInputError, match="knows all categories"):
        extend_model(model_dir, texts_dir, tmp_path / "same")
    with pytest.raises(InvalidInputError, match="Name another folder"):
        extend_model(model_dir, new_texts, model_dir)
    clash = write_texts(tmp_path / "clash", [Category("tiger", ("kitten",))], ["A tiger sleeps.", "One kitten runs."])
    with pytest.raises(InvalidInputError, match="'kitten' is given twice"):
        extend_model(model_dir, clash, tmp_path / "out")
    photos = write_photos(tmp_path / "photos", 4)
    calibrate_checkpoint(str(model_dir), [photos], "images", tmp_path / "calibrated")
    with pytest.raises(InvalidInputError, match=r"score standardization 'images'.*--use none"):
        extend_model(tmp_path / "calibrated", new_texts, tmp_path / "out")


def test_groups_command(texts_dir, tiny_clip_dir, tmp_path):
    """What is shown is what is written, what is drawn, and what `train` takes after an edit."""
    out = tmp_path / "groups.json"
    command = ["groups", str(texts_dir), "--encoder", str(tiny_clip_dir), "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--num-attribute-groups", "3"])
    assert result.exit_code == 0, result.output
    assert "Look alike: 3 groups" in result.output
    written = json.loads(out.read_text())
    assert len(written["attribute_groups"]) == 3
    names = sorted(category.name for category in CATEGORIES)
    for groups in written.values():
        assert sorted(name for group in groups for name in group) == names
    for number, group in enumerate(written["cooccurrence_groups"], start=1):
        assert f"  {number}. {', '.join(group)}\n" in result.output
    with Image.open(tmp_path / "groups.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
    out.write_text(json.dumps(GROUPS))
    args = arguments_of({"epochs": 1, "batch_size": 64}, tmp_path / "model")
    model = train_prompts(texts_dir, tmp_path / "model", str(tiny_clip_dir), args=args, groups=out)
    assert model.config.attribute_groups == GROUPS["attribute_groups"]
