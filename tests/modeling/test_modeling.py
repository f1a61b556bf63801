"""Configuration, prompts and model: shapes, gradients, saving, and what labeling needs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, CLIPModel

from wordsight import (
    Category,
    WordsightConfig,
    WordsightForMultiLabelImageClassification,
    load_image_encoder,
    load_text_encoder,
)
from wordsight.modeling.prompt_layout import PromptLayout
from wordsight.modeling.prompts import HierarchicalPrompts, soft_token_keys
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat", "dog", "car", "wine glass"]


def make_config(text_encoder, encoder_name="imagenet", **fields):
    defaults = {
        "id2label": dict(enumerate(NAMES)),
        "encoder": encoder_name,
        "prompt_width": text_encoder.width,
        "projection_dim": text_encoder(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.long)).pooled.shape[-1],
        "attribute_groups": [["cat", "dog"], ["car"], ["wine glass"]],
        "cooccurrence_groups": [["cat"], ["dog", "car", "wine glass"]],
        "score_scale": [1.5, 2.0, 0.5, 3.0],
        "score_threshold": [0.2, 1.0, -0.3, 0.0],
    }
    return WordsightConfig(**defaults | fields)


def make_model(encoder_name, **fields):
    text_encoder = load_text_encoder(encoder_name)
    model = WordsightForMultiLabelImageClassification(
        make_config(text_encoder, encoder_name, **fields), load_image_encoder(encoder_name)
    )
    generator = torch.Generator().manual_seed(0)
    for branch in (model.prompts.global_branch, model.prompts.local_branch):
        branch.initialize(text_encoder.embedding, [], generator)
    model.update_category_embeddings(text_encoder)
    return model.eval()


@pytest.fixture(scope="module")
def model(encoder_name):
    return make_model(encoder_name)


@pytest.fixture
def pixels(model):
    size = 32 if model.config.encoder != "imagenet" else 64
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"id2label": {}}, "id2label"),
        ({"id2label": {0: "cat", 1: "cat"}}, "id2label"),
        ({"id2label": {0: "cat", 2: "dog"}}, "id2label"),
        ({"num_shared_tokens": -1}, "num_shared_tokens"),
        ({"prompt_width": 0}, "prompt_width"),
        ({"prompt_width": "wide"}, "prompt_width"),
        ({"logit_scale": 0.0}, "logit_scale"),
        ({"local_temperature_image": float("nan")}, "local_temperature_image"),
        ({"local_weight": 1.5}, "local_weight"),
        ({"margin": -1.0}, "margin"),
        ({"patch_embeddings": "key"}, "patch_embeddings"),
        ({"image_size": 0}, "image_size"),
        ({"attribute_groups": [["LABEL_0"]]}, "attribute_groups"),
        ({"cooccurrence_groups": [["LABEL_0", "LABEL_1"], ["LABEL_1"]]}, "cooccurrence_groups"),
        ({"attribute_groups": [["LABEL_0", "LABEL_1"], []]}, "attribute_groups"),
        ({"score_scale": [1.0]}, "score_scale"),
        ({"score_threshold": [0.0, float("inf")]}, "score_threshold"),
    ],
)
def test_invalid_config_names_its_field(fields, named):
    with pytest.raises((StrictDataclassError, ValueError), match=named):
        WordsightConfig(**fields)


def test_config_survives_json(tmp_path):
    config = WordsightConfig(id2label={0: "cat", 1: "dog"}, synonyms={"cat": ["kitten"]}, provenance={"seed": 3})
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, WordsightConfig)
    assert loaded.to_dict() | {"_name_or_path": ""} == config.to_dict()
    assert loaded.label2id == {"cat": 0, "dog": 1}


def test_prompt_tokens_are_shared_by_group(text_encoder):
    prompts = HierarchicalPrompts(make_config(text_encoder)).global_branch
    prompts.initialize(text_encoder.embedding, [], torch.Generator().manual_seed(0))
    tokens = prompts()
    assert tokens.shape == (4, 16, text_encoder.width)
    cat, dog, car = tokens[0], tokens[1], tokens[2]
    assert torch.equal(cat[:8], dog[:8]) and not torch.equal(cat[8:12], dog[8:12])  # look alike, not seen together
    assert torch.equal(dog[8:12], car[8:12]) and not torch.equal(dog[4:8], car[4:8])  # the other way round
    assert not any(torch.equal(a[12:], b[12:]) for a, b in [(cat, dog), (dog, car), (cat, car)])


def test_keys_are_equal_where_tokens_are_one_parameter(text_encoder):
    config = make_config(text_encoder, num_shared_tokens=2, num_attribute_tokens=0, num_cooccurrence_tokens=3)
    prompts, keys = HierarchicalPrompts(config).local_branch, soft_token_keys(config)
    for level in prompts.levels.values():
        torch.nn.init.normal_(level)
    tokens = prompts().detach().flatten(0, 1)
    same = (tokens.unsqueeze(0) == tokens.unsqueeze(1)).all(dim=-1)
    assert torch.equal(same, keys.flatten().unsqueeze(0) == keys.flatten().unsqueeze(1))


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_chunked_prompts_give_the_same_embeddings_and_gradients(text_encoder, chunk_size):
    config = make_config(text_encoder)
    results = []
    for size in (0, chunk_size):
        prompts = HierarchicalPrompts(config).global_branch
        prompts.initialize(text_encoder.embedding, [], torch.Generator().manual_seed(0))
        layout = PromptLayout(config.categories, soft_token_keys(config), text_encoder, size)
        assert len(layout.chunks) == (-(-len(NAMES) // size) if size else 1)
        embeddings = layout.encode(text_encoder, prompts())
        direction = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))
        (embeddings * direction).sum().backward()
        results.append([embeddings.detach(), *(tokens.grad for tokens in prompts.levels.values())])
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("counts", [(16, 0, 0, 0), (0, 0, 0, 16), (0, 2, 0, 1)])
def test_any_level_can_be_off(text_encoder, counts):
    fields = ("num_shared_tokens", "num_attribute_tokens", "num_cooccurrence_tokens", "num_category_tokens")
    config = make_config(text_encoder, **dict(zip(fields, counts, strict=True)))
    prompts = HierarchicalPrompts(config)
    layout = PromptLayout(config.categories, soft_token_keys(config), text_encoder)
    assert prompts.global_branch().shape == (4, sum(counts), text_encoder.width)
    assert layout.encode(text_encoder, prompts.global_branch()).shape == (4, config.projection_dim)
    assert len(list(prompts.parameters())) == 2 * sum(count > 0 for count in counts)


def test_gradients_reach_exactly_the_prompt_tokens(text_encoder):
    config = make_config(text_encoder)
    prompts = HierarchicalPrompts(config)
    prompts.global_branch.initialize(text_encoder.embedding, [], torch.Generator().manual_seed(0))
    layout = PromptLayout(config.categories, soft_token_keys(config), text_encoder)
    embeddings = layout.encode(text_encoder, prompts.global_branch())
    direction = torch.randn(embeddings.shape[-1], generator=torch.Generator().manual_seed(1))
    (embeddings[0] @ direction).backward()  # of the cat alone
    assert all(parameter.grad is None for parameter in text_encoder.parameters())
    assert all(parameter.grad is None for parameter in prompts.local_branch.parameters())
    levels = {name: tokens.grad.abs().sum(dim=(1, 2)) > 0 for name, tokens in prompts.global_branch.levels.items()}
    assert levels["shared"].tolist() == [True]
    assert levels["attribute"].tolist() == [True, False, False]
    assert levels["cooccurrence"].tolist() == [True, False]
    assert levels["category"].tolist() == [True, False, False, False]


def test_forward_against_numpy(model, pixels):
    labels = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    output = model(pixels, labels=labels, output_patch_logits=True)
    image = model.image_encoder(pixels)
    config = model.config
    categories, patches = model.local_embeddings.detach().numpy(), image.patches.numpy()
    s = config.logit_scale * image.pooled.numpy() @ model.global_embeddings.detach().numpy().T
    cosines = patches @ categories.T
    weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / config.local_temperature_image)
    r = config.logit_scale * (weights / weights.sum(axis=1, keepdims=True) * cosines).sum(axis=1)
    np.testing.assert_allclose(output.global_logits.detach().numpy(), s, atol=1e-4)
    np.testing.assert_allclose(output.local_logits.detach().numpy(), r, atol=1e-4)
    np.testing.assert_allclose(output.similarities.detach().numpy(), (s + r) / 2, atol=1e-4)
    calibrated = np.array(config.score_scale) * ((s + r) / 2 - np.array(config.score_threshold))
    np.testing.assert_allclose(output.logits.detach().numpy(), calibrated, atol=1e-3)
    np.testing.assert_allclose(output.patch_logits.detach().numpy(), config.logit_scale * cosines, atol=1e-4)
    assert output.patch_grid[0] * output.patch_grid[1] == patches.shape[1]
    loss = 0.0
    for scores in (s, r):
        for n, row in enumerate(labels.numpy()):
            pairs = [(p, q) for p in np.flatnonzero(row) for q in np.flatnonzero(row == 0)]
            loss += sum(max(0, config.margin - scores[n, p] + scores[n, q]) for p, q in pairs) / 3
    assert output.loss.item() == pytest.approx(loss, rel=1e-4)
    assert "patch_logits" not in model(pixels)


def test_save_and_load_give_the_same_scores_bit_for_bit(model, pixels, tmp_path):
    model.save_pretrained(tmp_path)
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= {p.name for p in tmp_path.iterdir()}
    assert not any(key.startswith("image_encoder") for key in load_file(tmp_path / "model.safetensors"))
    with torch.no_grad():
        expected = model(pixels).logits
        for loaded in (
            WordsightForMultiLabelImageClassification.from_pretrained(tmp_path),
            AutoModel.from_pretrained(tmp_path),
            AutoModelForImageClassification.from_pretrained(tmp_path),
        ):
            assert torch.equal(loaded(pixels).logits, expected)
            for name, tensor in model.prompts.state_dict().items():
                assert torch.equal(loaded.prompts.state_dict()[name], tensor)


def test_checkpoint_of_20_categories_is_small(tmp_path):
    config = WordsightConfig(id2label={i: f"thing {i}" for i in range(20)}, prompt_width=512, projection_dim=512)
    groups = [[f"thing {i}" for i in range(start, start + 4)] for start in range(0, 20, 4)]
    config.attribute_groups = config.cooccurrence_groups = groups
    WordsightForMultiLabelImageClassification(config).save_pretrained(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_000_000


def test_half_precision(model, pixels, tmp_path):
    model.save_pretrained(tmp_path)
    half = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.image_encoder.model.dtype == half.dtype == torch.bfloat16
    with torch.no_grad():
        torch.testing.assert_close(half(pixels).logits.float(), model(pixels).logits, atol=0.25, rtol=0.1)


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_device_map(model, pixels, tmp_path, device_map):
    model.save_pretrained(tmp_path)
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path, device_map=device_map)
    with torch.no_grad():
        assert torch.equal(loaded(pixels.to(loaded.device)).logits.cpu(), model(pixels).logits)


def test_labeling_loads_no_text_tower(tiny_clip_dir, tmp_path):
    """The text weights can be missing altogether, and no text class is ever made."""
    make_model(str(tiny_clip_dir)).save_pretrained(tmp_path / "model")
    whole = CLIPModel.from_pretrained(tiny_clip_dir)
    state = {key: value for key, value in whole.state_dict().items() if not key.startswith("text_")}
    for path in tiny_clip_dir.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    whole.save_pretrained(tmp_path, state_dict=state)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"encoder": str(tmp_path)}))
    model = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "model")
    assert model(torch.zeros(1, 3, 32, 32)).logits.isfinite().all()
    assert not any("text" in name for name, _ in model.named_modules())


def test_checkpoint_whose_encoder_is_gone(tiny_clip_dir, tmp_path):
    make_model(str(tiny_clip_dir), encoder=str(tmp_path / "gone")).save_pretrained(tmp_path / "model")
    with pytest.raises(InvalidInputError, match=r"encoder '.*gone' can't be loaded"):
        WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "model")


def test_model_without_encoder_says_so():
    with pytest.raises(RuntimeError, match="no image encoder yet"):
        WordsightForMultiLabelImageClassification(WordsightConfig())(torch.zeros(1, 3, 32, 32))


def test_name_of_too_many_tokens(text_encoder):
    name = "very " * 600 + "long"
    with pytest.raises(InvalidInputError, match=r"very very.*tokens long.*shorter name or description, or fewer"):
        PromptLayout([Category(name)], torch.arange(16).unsqueeze(0), text_encoder)


def test_import_is_light_and_registers_everything():
    code = (
        "import sys, wordsight; assert 'torch' not in sys.modules and 'transformers' not in sys.modules;"
        "from transformers import AutoConfig; "
        "print(type(AutoConfig.for_model('wordsight', id2label={0: 'cat', 1: 'dog'})).__name__);"
        "from transformers.pipelines import PIPELINE_REGISTRY as registry; "
        "print(registry.check_task('multi-label-image-classification')[1]['impl'].__name__)"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert lines == ["WordsightConfig", "MultiLabelImageClassificationPipeline"]
