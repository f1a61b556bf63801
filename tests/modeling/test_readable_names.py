"""An encoder that can't read category names is told of, and one that can isn't."""

import json
import warnings
from pathlib import Path

import pytest
from PIL import Image
from transformers import pipeline

from tests.fixtures.texts import write_texts
from wordsight import Category, WordsightForMultiLabelImageClassification, label_texts, load_text_encoder
from wordsight.modeling.readable_names import unreadable_names
from wordsight.modeling.training.extend import extend_model
from wordsight.modeling.training.settings import arguments_of
from wordsight.modeling.training.train import train_prompts

from_encoder = WordsightForMultiLabelImageClassification.from_encoder
SENTENCES = Path(__file__).parents[1] / "data" / "chinese_sentences.jsonl"
CHINESE = ["猫", "狗", "汽车", "自行车", "人"]


@pytest.mark.parametrize("fixture", ["tiny_clip_dir", "tiny_siglip_dir"])
@pytest.mark.parametrize("names", [CHINESE, ["고양이", "자동차"], ["кошка", "собака"], ["سيارة"], ["แมว"]])
def test_names_in_other_scripts(request, fixture, names):
    encoder = str(request.getfixturevalue(fixture))
    tokenizer = load_text_encoder(encoder).tokenizer
    assert unreadable_names(names, tokenizer) == names
    assert unreadable_names(["cat", "wine glass", "t-shirt", *names], tokenizer) == names


def test_accents_are_read_where_their_bytes_are(tiny_clip_dir):
    assert unreadable_names(["café", "Straße", "árbol"], load_text_encoder(str(tiny_clip_dir)).tokenizer) == []


def test_the_imagenet_encoder(imagenet_encoder_dir):
    """Its vocabulary is English BERT's, which has a few Chinese characters and the letters of other alphabets."""
    tokenizer = load_text_encoder("imagenet").tokenizer
    names = ["猫", "狗", "汽车", "蛋糕", "고양이", "кошка", "سيارة"]
    assert unreadable_names([*names, "cat", "fire hydrant", "café"], tokenizer) == names


def test_making_a_model_says_it_in_one_line(tiny_siglip_dir):
    with pytest.warns(UserWarning, match=r"can't read 5 of 6 category names \(猫, 狗, 汽车.*google/siglip2") as said:
        from_encoder(str(tiny_siglip_dir), [*CHINESE, "cup"])
    assert len([warning for warning in said if "can't read" in str(warning.message)]) == 1
    assert "\n" not in str(said[0].message)


def test_a_multilingual_encoder_reads_them(tiny_multilingual_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = from_encoder(str(tiny_multilingual_dir), CHINESE)
    similarity = model.global_embeddings @ model.global_embeddings.T
    assert (similarity.fill_diagonal_(0) < 0.9999).all()


def test_sentences_in_chinese_train_a_model_and_are_shown(tiny_multilingual_dir, tmp_path):
    """Real ones, of Qwen2.5-Coder-0.5B, from labeling to a model that labels photos and a card."""
    sentences = [json.loads(line)["text"] for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    names = ["猫", "狗", "汽车, 轿车", "自行车", "杯子, 马克杯", "蛋糕", "鸟", "马", "船"]
    args = arguments_of({"epochs": 8, "batch_size": 16, "learning_rate": 5e-2}, tmp_path / "model")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The text encoder can't read")
        model = train_prompts(label_texts(sentences, names), tmp_path / "model", str(tiny_multilingual_dir), args=args)
    history = json.loads((tmp_path / "model" / "training_log.json").read_text())["history"]
    assert history[-1]["loss"] < 0.9 * history[0]["loss"], "Chinese sentences are told apart"
    assert model.config.category_names[:3] == ["猫", "狗", "汽车"]
    classify = pipeline("multi-label-image-classification", model=str(tmp_path / "model"))
    labels = classify(Image.new("RGB", (64, 48), "orange"), top_k=None)
    assert {entry["label"] for entry in labels} == {name.split(",")[0] for name in names}
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "| 汽车 | 轿车 |" in card


def test_extending_says_it_of_new_categories(tiny_clip_dir, tmp_path):
    write_texts(tmp_path / "texts", [Category("cat"), Category("dog")], ["A cat.", "A dog.", "A cat and a dog."])
    args = arguments_of({"epochs": 1, "batch_size": 4}, tmp_path / "model")
    train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir), args=args)
    write_texts(tmp_path / "more", [Category("猫头鹰")], ["一只猫头鹰。", "两只猫头鹰。"])
    with pytest.warns(UserWarning, match=r"can't read 1 of 1 category names \(猫头鹰\)"):
        extend_model(tmp_path / "model", tmp_path / "more", tmp_path / "larger", epochs=1)
