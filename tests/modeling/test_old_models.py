"""What 0.2.0 wrote (tests/data) still loads and gives the same figures."""

import json
from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from transformers import pipeline

from wordsight import WordsightForMultiLabelImageClassification, load_texts

MODEL = Path(__file__).parents[1] / "data" / "model-0.2.0"
TEXTS = Path(__file__).parents[1] / "data" / "texts-0.2.0"


def test_a_model_gives_the_same_figures(tmp_path):
    """Its config calls the ImageNet encoder "offline", and two fields by other names."""
    config = json.loads((MODEL / "config.json").read_text())
    assert (config["format_version"], config["encoder"]) == (2, "offline")
    model = WordsightForMultiLabelImageClassification.from_pretrained(MODEL)
    assert (model.config.format_version, model.config.encoder) == (3, "imagenet")
    assert (model.config.num_shared_tokens, model.config.score_standardization) == (1, "none")
    model.save_pretrained(tmp_path)
    expected = json.loads((MODEL / "expected_labels.json").read_text())
    for folder in (MODEL, tmp_path):
        classifier = pipeline("multi-label-image-classification", model=str(folder))
        for name, labels in expected.items():
            found = classifier(Image.fromarray(getattr(data, name)()))
            assert [entry["label"] for entry in found] == [entry["label"] for entry in labels]
            assert [entry["score"] for entry in found] == pytest.approx([entry["score"] for entry in labels], abs=1e-4)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert not {"num_global_tokens", "score_option"} & saved.keys()


def test_texts_load():
    dataset, knowledge = load_texts(TEXTS)
    assert len(dataset) == 40 and len(dataset[0]["labels"]) == 4
    assert [category.name for category in knowledge.categories] == ["cat", "dog", "cup", "rocket"]
