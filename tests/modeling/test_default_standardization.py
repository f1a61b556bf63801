"""New models of contrastive encoders take each photo's level and spread out of its scores, thresholds included."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.texts import write_texts
from wordsight import PromptTrainer, PromptTrainingArguments, WordsightForMultiLabelImageClassification
from wordsight.cli import app
from wordsight.description_gen import Category, SentenceLabeler
from wordsight.modeling.calibration import fit_calibration
from wordsight.modeling.evaluation.options import parse_standardizations
from wordsight.modeling.training.extend import extend_model
from wordsight.modeling.training.train import train_prompts
from wordsight.modeling.untrained import untrained_config
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat", "dog", "car", "cup", "boat", "tree", "horse", "clock", "flower", "spoon"]
from_encoder = WordsightForMultiLabelImageClassification.from_encoder


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(0)
    pairs = [rng.permutation(len(NAMES))[:2] for _ in range(120)]
    return [f"A {NAMES[a]} is near the {NAMES[b]}." for a, b in pairs]


def standardized(model, pooled, tokens):
    """Half of each branch, then every row's mean and standard deviation taken out, in numpy."""
    in_global, in_local = (e.double().numpy() for e in (model.global_embeddings, model.local_embeddings))
    rows = []
    for whole, parts in zip(pooled, tokens, strict=True):
        cosines = parts.double().numpy() @ in_local.T
        weights = np.exp(50 * cosines)
        scores = 2 * (whole.double().numpy() @ in_global.T + (weights / weights.sum(0) * cosines).sum(0))
        rows.append((scores - scores.mean()) / scores.std(ddof=1))
    return np.stack(rows)


def features(encoder, texts):
    """Pooled and token features of sentences, one at a time."""
    pooled, tokens = [], []
    for text in texts:
        encoded = encoder.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            output = encoder(encoded["input_ids"], encoded["attention_mask"])
        pooled.append(output.pooled[0])
        tokens.append(output.tokens[0][output.mask[0]])
    return pooled, tokens


def test_on_by_the_encoder_s_family_and_the_number_of_categories(encoder_name, text_encoder):
    def chosen(names, **fields):
        return untrained_config(names, text_encoder, None, 0, fields)[0].score_standardization

    assert chosen(NAMES) == ("none" if encoder_name == "imagenet" else "images")
    assert chosen(NAMES[:9]) == chosen(NAMES[:1]) == chosen(NAMES, score_standardization="none") == "none"
    assert chosen(NAMES[:9], score_standardization="images") == "images"


def test_first_thresholds_are_of_standardized_scores(tiny_clip_dir, sentences):
    """Fitted to what numpy makes of the sentences; and photos' probabilities are by the same formula."""
    labels = SentenceLabeler([Category(name) for name in NAMES]).label_batch(sentences)
    texts = Dataset.from_dict({"text": sentences, "labels": [[NAMES[k] for k in np.flatnonzero(r)] for r in labels]})
    model = from_encoder(str(tiny_clip_dir), texts)
    names = model.config.category_names
    order = [NAMES.index(name) for name in names]
    z = standardized(model, *features(model.text_encoder, sentences))
    scale, threshold = fit_calibration(z.astype(np.float32), labels[:, order])
    np.testing.assert_allclose(model.config.score_scale, scale, rtol=1e-2)  # token features are of half precision
    np.testing.assert_allclose(model.config.score_threshold, threshold, rtol=1e-2, atol=1e-2)
    scale, threshold = (np.array(values) for values in (model.config.score_scale, model.config.score_threshold))
    with torch.no_grad():
        pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        output = model(pixels)
        scores = (output.global_logits + output.local_logits).double().numpy() / 2
    of_photos = (scores - scores.mean(1, keepdims=True)) / scores.std(1, ddof=1, keepdims=True)
    np.testing.assert_allclose(output.similarities.numpy(), of_photos, atol=1e-4)
    probabilities = 1 / (1 + np.exp(-scale * (of_photos - threshold)))
    np.testing.assert_allclose(output.logits.sigmoid().numpy(), probabilities, atol=1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_clip_dir, sentences):
    folder = tmp_path_factory.mktemp("standardized")
    texts = write_texts(folder / "texts", [Category(name) for name in NAMES], sentences)
    args = PromptTrainingArguments(str(folder / "model"), num_train_epochs=1, global_batch_size=32)
    return train_prompts(texts, folder / "model", str(tiny_clip_dir), args=args), folder


def test_trained_thresholds_are_of_standardized_scores(trained):
    """Of the held-out sentences, whose scores are standardized as photos' are."""
    model, folder = trained
    assert model.config.score_standardization == "images"
    args = PromptTrainingArguments(str(folder / "again"), num_train_epochs=1, global_batch_size=32)
    held_out = PromptTrainer(model=model, args=args, train_dataset=folder / "texts").eval_dataset
    z = standardized(model, *features(model.load_text_encoder(), held_out.texts))
    scale, threshold = fit_calibration(z.astype(np.float32), held_out.labels)
    np.testing.assert_allclose(model.config.score_scale, scale, rtol=1e-2)
    np.testing.assert_allclose(model.config.score_threshold, threshold, rtol=1e-2, atol=1e-2)


def test_extended_models_have_new_thresholds_for_all(trained):
    """A photo's level and spread are of more scores then; statistics of photos are still a reason to refuse."""
    model, folder = trained
    texts = write_texts(folder / "more", [Category("moose")], [f"A moose behind the {name}." for name in NAMES])
    larger = extend_model(folder / "model", texts, folder / "larger", epochs=1)
    assert larger.config.score_standardization == "images"
    assert torch.equal(larger.global_embeddings[:10], model.global_embeddings)
    assert larger.config.score_threshold[:10] != model.config.score_threshold
    config = model.config.to_dict() | {"score_standardization": "categories", "calibration_photos": 5}
    calibrated = WordsightForMultiLabelImageClassification(type(model.config)(**config))
    calibrated.save_pretrained(folder / "calibrated")
    with pytest.raises(InvalidInputError, match="statistics of photos"):
        extend_model(folder / "calibrated", texts, folder / "none")


def test_evaluate_gives_baselines_what_the_model_has(trained, tmp_path):
    """Rows with and without by default, the model's own with its thresholds, and none twice."""
    _, folder = trained
    photos = write_photos(tmp_path / "photos", 9)
    arguments = ["evaluate", str(folder / "model"), "--data", str(photos), "--methods", "zero-shot,learned"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "figures.json")])
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "figures.json").read_text())["results"]
    found = {(row["method"], row["score_standardization"]): row["thresholds"] is not None for row in rows}
    expected = {("zero-shot", "none"): False, ("zero-shot", "images"): False}
    assert found == expected | {("learned", "none"): False, ("learned", "checkpoint"): True}
    assert parse_standardizations(None, "none") == ("none",)
