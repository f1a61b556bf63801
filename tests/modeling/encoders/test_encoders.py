"""The encoders' interface, every family through the same tests, and each family's own arithmetic."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPModel,
    SiglipModel,
    pipeline,
)

from tests.fixtures.encoder_families import CONTRASTIVE, OF_TRANSFORMERS
from tests.modeling.test_modeling import make_model
from wordsight import Category
from wordsight.modeling.category_embeddings import CategoryEmbedder
from wordsight.modeling.encoders import TextEncoder, load_image_encoder, load_text_encoder
from wordsight.modeling.prompt_layout import PromptChunk, PromptLayout
from wordsight.modeling.text_features import tokenize
from wordsight.utils.errors import InvalidInputError

TEXTS = ["a cat", "two dogs run over a wide green field"]


@pytest.fixture(scope="module", params=[*CONTRASTIVE, "imagenet"])
def encoder_name(request):
    """Every family, by the name that users give."""
    return "imagenet" if request.param == "imagenet" else str(request.getfixturevalue(f"tiny_{request.param}_dir"))


@pytest.fixture(scope="module")
def text_encoder(encoder_name):
    return load_text_encoder(encoder_name)


@pytest.fixture(scope="module")
def image_encoder(encoder_name):
    return load_image_encoder(encoder_name)


def inputs(encoder, texts=TEXTS):
    encoded = encoder.tokenizer(texts, padding=True, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]


def test_text_embeddings_are_unit_vectors(text_encoder):
    output = text_encoder(*inputs(text_encoder))
    assert output.pooled.shape[0] == len(TEXTS)
    assert output.tokens.shape[:2] == output.mask.shape
    torch.testing.assert_close(output.pooled.norm(dim=-1), torch.ones(len(TEXTS)))
    torch.testing.assert_close(output.tokens.norm(dim=-1)[output.mask], torch.ones(int(output.mask.sum())))


def test_padding_changes_nothing(text_encoder):
    alone = text_encoder(*inputs(text_encoder, TEXTS[:1]))
    padded = text_encoder(*inputs(text_encoder))
    length = int(alone.mask.sum())
    torch.testing.assert_close(padded.pooled[:1], alone.pooled, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(padded.tokens[:1, :length], alone.tokens[:, :length], rtol=1e-4, atol=1e-5)
    assert padded.mask[0].sum() == length


def prompts(encoder, columns):
    """The texts as prompts with placeholders at some columns, each with a key of its own; ids and mask beside."""
    ids, mask = inputs(encoder)
    positions = torch.zeros_like(ids, dtype=torch.bool)
    positions[:, columns] = True
    keys = torch.arange(int(positions.sum())).view(len(TEXTS), -1)
    return PromptChunk(ids.masked_fill(positions, 0), mask, positions, keys), ids, mask


def test_soft_tokens_equal_to_embeddings_change_nothing(text_encoder):
    """Whatever the pooling (EOS, mean), vectors of real words at placeholders give what the words give."""
    chunk, ids, mask = prompts(text_encoder, slice(1, 3))
    vectors = text_encoder.embedding(ids)[chunk.soft_positions].view(len(TEXTS), 2, -1)
    expected = text_encoder(ids, mask).pooled
    torch.testing.assert_close(text_encoder.encode_prompts(chunk, vectors), expected)
    torch.testing.assert_close(text_encoder.pool_texts(ids, mask), expected)


def test_soft_tokens_change_the_text_and_leave_no_hook(text_encoder):
    chunk, ids, mask = prompts(text_encoder, slice(1, 2))
    before = text_encoder(ids, mask).pooled
    soft = torch.randn(len(TEXTS), 1, text_encoder.width)
    assert not torch.allclose(text_encoder.encode_prompts(chunk, soft), before, atol=1e-3)
    torch.testing.assert_close(text_encoder(ids, mask).pooled, before)


def test_image_embeddings_are_unit_vectors_on_a_grid(image_encoder):
    photos = [Image.fromarray(np.full((40, 60, 3), shade, dtype=np.uint8)) for shade in (30, 200)]
    pixels = image_encoder.image_processor(photos, return_tensors="pt").pixel_values
    output = image_encoder(pixels)
    rows, columns = output.grid
    assert output.patches.shape[:2] == (2, rows * columns)
    torch.testing.assert_close(output.pooled.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(output.patches.norm(dim=-1), torch.ones(2, rows * columns))


def test_nothing_of_an_encoder_is_trained(text_encoder, image_encoder):
    for encoder in (text_encoder, image_encoder):
        assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("family", OF_TRANSFORMERS)
def test_pooled_embeddings_are_transformers_own(family, request):
    """Those of the whole model that transformers loads from the checkpoint; each half has no weight of the other."""
    folder = request.getfixturevalue(f"tiny_{family}_dir")
    whole, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    text, image = load_text_encoder(str(folder)), load_image_encoder(str(folder))
    padded = {"max_length": 64, "padding_side": "right"} if text.pad_to_max_length else {}
    encoded = tokenizer(TEXTS, padding="max_length" if padded else True, return_tensors="pt", **padded)
    if padded:  # as it was trained
        encoded = {"input_ids": encoded["input_ids"]}
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8))
    seen = AutoImageProcessor.from_pretrained(folder)(photo, return_tensors="pt")
    with torch.no_grad():
        texts = F.normalize(whole.get_text_features(**encoded).pooler_output, dim=-1)
        images = F.normalize(whole.get_image_features(**seen).pooler_output, dim=-1)
    torch.testing.assert_close(text(*inputs(text)).pooled, texts)
    pixels = image.image_processor(photo, return_tensors="pt").pixel_values
    torch.testing.assert_close(image(pixels).pooled, images)
    assert not any("vision" in name or "visual" in name for name, _ in text.named_parameters())
    assert not any("text" in name or "token_embedding" in name for name, _ in image.named_parameters())


@pytest.mark.parametrize(("family", "limit"), [("chinese_clip", 52), ("altclip", 77), ("align", 64), ("clip", 77)])
def test_texts_are_cut_where_training_cut_them(family, limit, request):
    encoder = load_text_encoder(str(request.getfixturevalue(f"tiny_{family}_dir")))
    assert encoder.max_length == limit
    (ids,) = tokenize(["cat " * 100], encoder).ids
    assert len(ids) == limit


@pytest.mark.parametrize("family", CONTRASTIVE)
def test_a_model_on_it_is_saved_and_labels_photos(family, request, tmp_path):
    """Prompts of each family are saved, loaded, and label as before; learned tokens get gradients."""
    model = make_model(str(request.getfixturevalue(f"tiny_{family}_dir")))
    embeddings = CategoryEmbedder(model.config, model.load_text_encoder()).prompt_embeddings(model.prompts)
    torch.cat(embeddings).cos().sum().backward()
    assert all(tokens.grad.abs().sum() > 0 for tokens in model.prompts.parameters())
    model.save_pretrained(tmp_path)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    pixels = model.image_encoder.image_processor(photo, return_tensors="pt").pixel_values
    labels = pipeline("multi-label-image-classification", model=str(tmp_path))(photo, output_heatmaps=True)
    expected = torch.sigmoid(model(pixels).logits[0])
    found = {entry["label"]: entry["score"] for entry in labels}
    torch.testing.assert_close(torch.tensor([found[name] for name in model.config.category_names]), expected)
    assert {entry["heatmap"].size for entry in labels} == {photo.size}


def test_weights_that_are_missing_are_named(tiny_metaclip_2_dir, tmp_path):
    folder = shutil.copytree(tiny_metaclip_2_dir, tmp_path / "encoder")
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    load_image_encoder(str(folder))
    with pytest.raises(InvalidInputError, match=r"lacks weights of its text half: text_projection.weight\."):
        load_text_encoder(str(folder))


def test_naflex_takes_any_grid(tiny_naflex_dir):
    """Rows and columns that differ, against the tower with the checkpoint's own image processor."""
    whole, image = AutoModel.from_pretrained(tiny_naflex_dir).eval(), load_image_encoder(str(tiny_naflex_dir))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 64, 3), dtype=np.uint8))
    seen = AutoImageProcessor.from_pretrained(tiny_naflex_dir)(photo, return_tensors="pt")
    assert seen["spatial_shapes"].tolist() == [[2, 8]]
    with torch.no_grad():
        expected = whole.get_image_features(**seen)
    pixels = image.image_processor(photo, do_resize=False, return_tensors="pt").pixel_values
    output = image(pixels)
    assert output.grid == (2, 8)
    torch.testing.assert_close(output.pooled, F.normalize(expected.pooler_output, dim=-1))
    plain = load_image_encoder(str(tiny_naflex_dir), patch_embeddings="plain")(pixels)
    torch.testing.assert_close(plain.patches, F.normalize(expected.last_hidden_state, dim=-1))


def test_align_positions_average_to_the_pooled_embedding(tiny_align_dir):
    whole, image = AutoModel.from_pretrained(tiny_align_dir).eval(), load_image_encoder(str(tiny_align_dir))
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = whole.vision_model(pixels).last_hidden_state
    output = image(pixels)
    assert output.grid == (4, 4)
    torch.testing.assert_close(output.pooled, F.normalize(states.mean(dim=(2, 3)), dim=-1))
    torch.testing.assert_close(output.patches[1, 7], F.normalize(states[1, :, 1, 3], dim=-1))


def test_open_clip_checkpoint_in_transformers_format(tiny_clip_dir, tmp_path):
    """LAION's conversions: GELU, the projection's width in the whole's config alone."""
    model = CLIPModel.from_pretrained(tiny_clip_dir)
    model.config.text_config.hidden_act = model.config.vision_config.hidden_act = "gelu"
    model.save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(tiny_clip_dir / file, tmp_path / file)
    config = json.loads((tmp_path / "config.json").read_text())
    for half in ("text_config", "vision_config"):
        config[half].pop("projection_dim", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    whole = CLIPModel.from_pretrained(tmp_path).eval()
    text, image = load_text_encoder(str(tmp_path)), load_image_encoder(str(tmp_path))
    ids, mask = inputs(text)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = whole(input_ids=ids, attention_mask=mask, pixel_values=pixels)
    torch.testing.assert_close(text(ids, mask).pooled, expected.text_embeds)
    torch.testing.assert_close(image(pixels).pooled, expected.image_embeds)
    quick = load_text_encoder(str(tiny_clip_dir))(ids, mask).pooled
    assert not torch.allclose(text(ids, mask).pooled, quick, atol=1e-4)


def test_clip_prompts_that_begin_alike_give_what_transformers_gives(tiny_clip_dir):
    """Shared tokens go through CLIP's blocks once; embeddings and gradients are those of whole, padded prompts."""
    encoder = load_text_encoder(str(tiny_clip_dir))
    names = ["cat", "a cow", "dog", "wine glass", "cat flap"]
    keys = torch.tensor([[0, 1, 2, 10], [0, 1, 2, 11], [0, 1, 3, 12], [0, 1, 3, 13], [0, 1, 2, 14]])
    (chunk,) = PromptLayout([*map(Category, names)], keys, encoder).chunks
    tree = chunk.prefix_tree
    lengths = chunk.attention_mask.sum(dim=1).tolist()
    # One SOS, 2 tokens of all, 2 of a group; and what is each prompt's own: its token, its name, EOS.
    assert len(tree.first) == 1 + 2 + 2 + sum(length - 4 for length in lengths)
    results = []
    for encode in (type(encoder).encode_prompts, TextEncoder.encode_prompts):
        vectors = torch.randn(15, encoder.width, generator=torch.Generator().manual_seed(0), requires_grad=True)
        embeddings = encode(encoder, chunk, vectors[keys])
        (embeddings * torch.arange(5.0).unsqueeze(-1)).cos().sum().backward()
        results.append((embeddings.detach(), vectors.grad))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-4, atol=1e-5)


class NumpyBlock:
    """The last block of an image tower in numpy, from a state dict: attention, and what comes after it."""

    def __init__(self, model, prefix, activation, eps=1e-5):
        self.weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
        self.prefix, self.activation, self.eps = prefix, activation, eps
        self.heads = model.config.vision_config.num_attention_heads

    def norm(self, x, name):
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + self.eps)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0)

    def projected(self, x, name):
        """Queries, keys or values of all positions (L, d)."""
        return self.linear(self.norm(x, self.prefix + "layer_norm1"), f"{self.prefix}self_attn.{name}_proj")

    def correlative(self, x):
        """SCLIP: (softmax(q q^t / s) + softmax(k k^t / s)) v of each head, one head after the other."""
        q, k, v = (np.split(self.projected(x, name), self.heads, axis=-1) for name in "qkv")

        def softmax(scores):
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            return weights / weights.sum(-1, keepdims=True)

        s = np.sqrt(q[0].shape[-1])
        found = [(softmax(a @ a.T / s) + softmax(b @ b.T / s)) @ c for a, b, c in zip(q, k, v, strict=True)]
        return np.concatenate(found, axis=-1)

    def finished(self, x, attended):
        x = x + self.linear(attended, self.prefix + "self_attn.out_proj")
        hidden = self.linear(self.norm(x, self.prefix + "layer_norm2"), self.prefix + "mlp.fc1")
        return x + self.linear(self.activation(hidden), self.prefix + "mlp.fc2")


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.fixture(scope="module")
def clip_last_block(tiny_clip_dir):
    """The last block in numpy, pixels, and the states (1 + P, d) that go into it."""
    model = CLIPModel.from_pretrained(tiny_clip_dir).eval()
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    vision = model.vision_model
    with torch.no_grad():
        states = vision.pre_layrnorm(vision.embeddings(pixels))
        states = vision.encoder.layers[0](states, attention_mask=None)
    return NumpyBlock(model, "vision_model.encoder.layers.1.", quick_gelu), pixels, states[0].double().numpy()


@pytest.mark.parametrize("patch_embeddings", ["value", "correlative"])
def test_clip_patches_by_hand(tiny_clip_dir, clip_last_block, patch_embeddings):
    """MaskCLIP: attention's output is v, position by position. SCLIP: q q^t and k k^t, class token among the keys."""
    block, pixels, x = clip_last_block
    attended = block.projected(x, "v") if patch_embeddings == "value" else block.correlative(x)
    finished = block.norm(block.finished(x, attended)[1:], "vision_model.post_layernorm")
    expected = block.linear(finished, "visual_projection")
    expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    image = load_image_encoder(str(tiny_clip_dir), patch_embeddings=patch_embeddings)(pixels)
    assert image.grid == (4, 4)
    np.testing.assert_allclose(image.patches[0].numpy(), expected, atol=1e-4)
    plain = load_image_encoder(str(tiny_clip_dir), patch_embeddings="plain")(pixels)
    assert not np.allclose(plain.patches[0].numpy(), expected, atol=1e-2)
    torch.testing.assert_close(image.pooled, plain.pooled)


def test_clip_plain_patches_are_the_last_layer(tiny_clip_dir):
    model = CLIPModel.from_pretrained(tiny_clip_dir).eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = model.vision_model(pixel_values=pixels).last_hidden_state[:, 1:]
        expected = F.normalize(model.visual_projection(model.vision_model.post_layernorm(states)), dim=-1)
    plain = load_image_encoder(str(tiny_clip_dir), patch_embeddings="plain")(pixels)
    torch.testing.assert_close(plain.patches, expected)


def test_siglip_patches_against_the_pooling_head_of_one_patch(tiny_siglip_dir):
    """Of a single patch, attention pooling is its value path: the head on each patch alone gives the same."""
    model = SiglipModel.from_pretrained(tiny_siglip_dir).eval()
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        states = model.vision_model(pixel_values=pixels).last_hidden_state[0]
        expected = F.normalize(model.vision_model.head(states.unsqueeze(1)), dim=-1)
    value = load_image_encoder(str(tiny_siglip_dir), patch_embeddings="value")(pixels)
    assert value.grid == (4, 4)
    torch.testing.assert_close(value.patches[0], expected)
    plain = load_image_encoder(str(tiny_siglip_dir), patch_embeddings="plain")(pixels)
    torch.testing.assert_close(plain.patches[0], F.normalize(states, dim=-1))


def test_siglip_correlative_patches_by_hand(tiny_siglip_dir):
    """SCLIP's attention in the last block, then the pooling head on each patch alone; the pooled embedding stays."""
    model = SiglipModel.from_pretrained(tiny_siglip_dir).eval()
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = model.vision_model.encoder.layers[0](model.vision_model.embeddings(pixels), attention_mask=None)
    block = NumpyBlock(model, "vision_model.encoder.layers.1.", gelu_tanh, eps=1e-6)
    x = states[0].double().numpy()
    finished = block.norm(block.finished(x, block.correlative(x)), "vision_model.post_layernorm")
    with torch.no_grad():
        expected = F.normalize(model.vision_model.head(torch.from_numpy(finished).float().unsqueeze(1)), dim=-1)
    image = load_image_encoder(str(tiny_siglip_dir), patch_embeddings="correlative")(pixels)
    torch.testing.assert_close(image.patches[0], expected, rtol=1e-3, atol=1e-4)
    value = load_image_encoder(str(tiny_siglip_dir), patch_embeddings="value")(pixels)
    torch.testing.assert_close(image.pooled, value.pooled)
    assert not torch.allclose(image.patches, value.patches, atol=1e-2)


def test_unsupported_family_lists_the_supported_ones(tmp_path):
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match=r"'bert' model; supported are align, altclip, .*siglip, siglip2"):
        load_text_encoder(str(tmp_path))


def test_missing_encoder_says_what_to_give(tmp_path):
    with pytest.raises(InvalidInputError, match=r"nowhere.*can't be loaded.*'imagenet'"):
        load_image_encoder(str(tmp_path / "nowhere"))
