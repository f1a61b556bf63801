"""`from_encoder`: a model of category names alone labels photos, and is an ordinary PreTrainedModel."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data
from transformers import pipeline

from tests.fixtures.texts import CATEGORIES
from wordsight import Category, WordsightForMultiLabelImageClassification
from wordsight.modeling.category_embeddings import zero_shot_embeddings
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat, kitten", "coffee cup", "rocket", "building"]
from_encoder = WordsightForMultiLabelImageClassification.from_encoder


@pytest.fixture(scope="module")
def zero_shot():
    return from_encoder("imagenet", NAMES)


def test_the_zero_shot_baseline_is_one_line(zero_shot):
    photos = [Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket")]
    classifier = pipeline(
        "multi-label-image-classification", model=zero_shot, image_processor=image_processor(zero_shot)
    )
    found = [labels[0] for labels in classifier(photos)]
    assert [entry["label"] for entry in found] == ["cat", "coffee cup", "rocket"]
    assert all(entry["score"] > 0.5 for entry in found)


def image_processor(model):
    return model.image_encoder.image_processor


def test_embeddings_are_those_of_the_names(tiny_clip_dir):
    model = from_encoder(str(tiny_clip_dir), NAMES)
    assert (model.config.prior_weight, model.config.mean_shift) == (0.0, False)
    categories = [Category("cat", ("kitten",)), *map(Category, NAMES[1:])]
    expected = zero_shot_embeddings(categories, model.text_encoder)
    torch.testing.assert_close(model.global_embeddings, expected)
    torch.testing.assert_close(model.local_embeddings, expected)


def test_it_saves_and_loads(zero_shot, tmp_path):
    zero_shot.save_pretrained(tmp_path)
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(pixels).logits, zero_shot(pixels).logits)
    assert loaded.text_encoder is None
    assert not any(name.startswith(("image_encoder", "text")) for name in torch_keys(tmp_path))


def torch_keys(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return list(file.keys())


def test_groups_can_be_given_and_are_checked(tiny_clip_dir):
    groups = {"attribute_groups": [["cat", "rocket"], ["coffee cup", "building"]]}
    model = from_encoder(str(tiny_clip_dir), NAMES, groups=groups, num_shared_tokens=2, num_category_tokens=0)
    assert model.config.attribute_groups == groups["attribute_groups"]
    assert model.config.cooccurrence_groups == [["cat", "coffee cup", "rocket", "building"]]  # nothing tells
    assert set(model.prompts.global_branch.levels) == {"shared", "attribute", "cooccurrence"}
    with pytest.raises(InvalidInputError, match=r"attribute_groups.*'cow'"):
        from_encoder(str(tiny_clip_dir), NAMES, groups={"attribute_groups": [["cow"]]})
    with pytest.raises(InvalidInputError, match="WordsightConfig has no field num_tokens"):
        from_encoder(str(tiny_clip_dir), NAMES, num_tokens=3)


def test_texts_bring_their_categories_and_knowledge(texts_dir, tiny_clip_dir):
    model = from_encoder(str(tiny_clip_dir), texts_dir)
    assert model.config.categories == CATEGORIES
    assert model.config.compounds


def test_sentences_in_place_of_photos(tiny_clip_dir):
    """In evaluation they meet the embeddings, in training the prompts; against the formula in numpy."""
    model = from_encoder(str(tiny_clip_dir), NAMES, num_category_tokens=1)
    generator = torch.Generator().manual_seed(0)
    pooled = F.normalize(torch.randn(2, 24, generator=generator), dim=-1)
    tokens = F.normalize(torch.randn(5, 24, generator=generator), dim=-1)
    inputs = {"text_embeds": pooled, "token_embeds": tokens, "token_counts": torch.tensor([2, 3])}
    labels = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0]])
    output = model(**inputs, labels=labels, num_items_in_batch=4)
    categories, tau, beta = model.global_embeddings.numpy(), model.config.logit_scale, 1 / 50
    s = tau * pooled.numpy() @ categories.T
    r = []
    for part in (tokens[:2], tokens[2:]):
        cosines = part.numpy() @ categories.T
        weights = np.exp(cosines / beta)
        r.append(tau * (weights / weights.sum(0) * cosines).sum(0))
    np.testing.assert_allclose(output.similarities.numpy(), (s + np.array(r)) / 2, atol=1e-5)
    loss = 0.0
    for scores in (s, np.array(r)):
        for row, present in zip(scores, labels.numpy(), strict=True):
            pairs = [(p, n) for p in np.flatnonzero(present) for n in np.flatnonzero(1 - present)]
            loss += sum(max(0, 1 - row[p] + row[n]) for p, n in pairs)
    assert output.loss.item() == pytest.approx(loss / 4, rel=1e-5)
    assert not output.loss.requires_grad
    model.train()
    model(**inputs, labels=labels).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith("prompts.")}
    with pytest.raises(ValueError, match="token_embeds and token_counts"):
        model(text_embeds=pooled)
    with pytest.raises(ValueError, match="pixel_values"):
        model()


def test_only_prompts_are_trainable(zero_shot):
    trainable = {name for name, parameter in zero_shot.named_parameters() if parameter.requires_grad}
    assert trainable and all(name.startswith("prompts.") for name in trainable)
    buffers = dict(zero_shot.named_buffers())
    assert {"global_embeddings", "local_embeddings"} <= buffers.keys()
    assert not {"global_embeddings", "local_embeddings"} & dict(zero_shot.named_parameters()).keys()
    tokens = sum(parameter.numel() for parameter in zero_shot.prompts.parameters())
    assert zero_shot.num_parameters(only_trainable=True) == tokens
    assert zero_shot.num_parameters() > 1_000_000  # the image half
    assert zero_shot.get_input_embeddings().weight.shape[1] == 3


def test_half_precision_by_to(tiny_clip_dir):
    model = from_encoder(str(tiny_clip_dir), NAMES)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(pixels).logits.sigmoid()
        half = model.to(torch.bfloat16)
        assert half.dtype == half.global_embeddings.dtype == torch.bfloat16
        output = half(pixels)
    assert output.logits.dtype == torch.float32
    torch.testing.assert_close(output.logits.sigmoid(), expected, atol=0.1, rtol=0.1)


def test_compiled(tiny_clip_dir):
    model = from_encoder(str(tiny_clip_dir), NAMES)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(pixels).logits
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(pixels).logits, expected, atol=1e-4, rtol=1e-4)


def test_training_mode_leaves_the_frozen_encoder_alone(zero_shot):
    """Its BatchNorm statistics do not move, and photos get the same logits."""
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    statistics = {
        name: b.clone() for name, b in zero_shot.named_buffers() if "running" in name or "num_batches" in name
    }
    assert statistics
    with torch.no_grad():
        expected = zero_shot(pixels).logits
        zero_shot.train()
        assert torch.equal(zero_shot(pixels).logits, expected)
    zero_shot.eval()
    assert all(torch.equal(dict(zero_shot.named_buffers())[name], value) for name, value in statistics.items())
