"""Correlative prompts: the company of categories from knowledge and sentences, and its weight, against numpy."""

import networkx as nx
import numpy as np
import pytest
import torch

from tests.fixtures.texts import CATEGORIES
from wordsight import PromptTrainingArguments, WordsightForMultiLabelImageClassification, load_text_encoder
from wordsight.modeling.category_embeddings import CategoryEmbedder, correlative_text, reference_mean
from wordsight.modeling.grouping import cooccurring_categories
from wordsight.modeling.training.train import train_prompts
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat", "crane: the bird", "sofa"]
TOGETHER = {"cat": ["sofa", "crane"], "sofa": ["cat"]}
TEXTS = [
    "A photo of a cat often includes a sofa, a crane (the bird).",
    None,  # nobody knows what a crane is seen with
    "A photo of a sofa often includes a cat.",
]
from_encoder = WordsightForMultiLabelImageClassification.from_encoder


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def embed(encoder, text):
    encoded = encoder.tokenizer([text], return_tensors="pt")
    with torch.no_grad():
        return encoder(encoded["input_ids"], encoded["attention_mask"]).pooled[0].double().numpy()


@pytest.mark.parametrize("mean_shift", [False, True])
def test_weight_by_hand(tiny_clip_dir, mean_shift):
    """unit(unit(0.7 e + 0.3 c) - mean); a category that is seen with none keeps its own."""
    fields = {"cooccurring_categories": TOGETHER, "correlative_weight": 0.3, "mean_shift": mean_shift}
    model = from_encoder(str(tiny_clip_dir), NAMES, **fields)
    encoder = model.text_encoder
    named = np.stack([embed(encoder, f"a photo of a {name}.") for name in ("cat", "crane, the bird", "sofa")])
    expected = []
    for own, text in zip(named, TEXTS, strict=True):
        expected.append(own if text is None else unit(0.7 * own + 0.3 * embed(encoder, text)))
    expected = np.stack(expected)
    if mean_shift:
        expected = unit(expected - (expected.sum(0) + 20 * reference_mean(encoder).double().numpy()) / 23)
    for branch in ("global_embeddings", "local_embeddings"):
        np.testing.assert_allclose(getattr(model, branch).numpy(), expected, atol=1e-4)
    prompts = torch.from_numpy(unit(np.random.default_rng(0).normal(size=(3, 24)))).float()
    finished = CategoryEmbedder(model.config, encoder).finish(prompts)
    model.config.correlative_weight = 0.0
    plain = CategoryEmbedder(model.config, encoder).finish(prompts)
    assert not torch.allclose(finished[[0, 2]], plain[[0, 2]], atol=1e-2)
    if not mean_shift:
        assert torch.equal(plain, prompts) and torch.equal(finished[1], prompts[1])


def test_what_is_seen_together():
    """The two with the greatest weights, the greater first."""
    graph = nx.Graph()
    graph.add_nodes_from(["cat", "sofa", "dog", "rocket", "cup"])
    graph.add_weighted_edges_from([("cat", "sofa", 0.9), ("cat", "dog", 0.4), ("cat", "cup", 0.6)])
    found = cooccurring_categories(graph)
    assert found == {"cat": ["sofa", "cup"], "sofa": ["cat"], "dog": ["cat"], "cup": ["cat"]}
    assert correlative_text("cat", found["cat"]) == "A photo of a cat often includes a sofa, a cup."


def test_texts_say_it_and_it_is_saved(texts_dir, tiny_clip_dir, tmp_path):
    """Known of every model from texts, so that another weight can be tried without texts."""
    fields = {"correlative_weight": 0.5}
    args = PromptTrainingArguments(str(tmp_path), num_train_epochs=1, global_batch_size=32)
    train_prompts(texts_dir, tmp_path, str(tiny_clip_dir), args=args, config_fields=fields)
    model = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path)
    config = model.config
    assert set(config.cooccurring_categories) == {category.name for category in CATEGORIES}
    assert config.cooccurring_categories["cat"][0] == "dog"  # as the knowledge says
    encoder = load_text_encoder(str(tiny_clip_dir))
    prompts = CategoryEmbedder(config, encoder).prompt_embeddings(model.prompts)[0].detach().double().numpy()
    texts = [correlative_text(name, config.cooccurring_categories[name]) for name in config.category_names]
    expected = unit(0.5 * prompts + 0.5 * np.stack([embed(encoder, text) for text in texts]))
    np.testing.assert_allclose(model.global_embeddings.numpy(), expected, atol=1e-4)
    config.correlative_weight = 0.0
    model.update_category_embeddings(encoder)
    np.testing.assert_allclose(model.global_embeddings.numpy(), prompts, atol=1e-4)


def test_a_weight_without_company_is_refused(tiny_clip_dir):
    with pytest.raises(InvalidInputError, match="correlative_weight needs cooccurring_categories"):
        from_encoder(str(tiny_clip_dir), ["cat", "dog"], correlative_weight=0.5)
    with pytest.raises(InvalidInputError, match="'cow' not categories"):
        from_encoder(str(tiny_clip_dir), ["cat", "dog"], cooccurring_categories={"cat": ["cow"]})
    with pytest.raises(InvalidInputError, match="correlative_weight must be between 0 and 1"):
        from_encoder(str(tiny_clip_dir), NAMES, cooccurring_categories=TOGETHER, correlative_weight=1.5)
