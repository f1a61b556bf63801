"""The feature cache: the same curves as without it, never another encoder's, rebuilt when damaged, built by all."""

import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from benchmarks.training import ReferenceLoop
from wordsight import TrainingConfig, load_text_encoder
from wordsight.modeling.text_features import SentenceFeatures, encode_sentences, tokenize
from wordsight.modeling.training import features as feature_cache
from wordsight.modeling.training.data import load_training_texts
from wordsight.modeling.training.features import cached_features, features_key
from wordsight.modeling.training.train import train_prompts
from wordsight.modeling.training.trainer import PromptTrainer
from wordsight.utils.errors import WordsightError

from .test_modeling import make_config

TEXTS = ["a cat", "two dogs run over a wide green field", "a wine glass", "nothing but a very blue and empty sky"]


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


class Uncached(SentenceFeatures):
    """Features that are computed anew for each batch, as TaI-DPT does."""

    def __init__(self, texts, encoder):
        object.__setattr__(self, "texts", texts)
        object.__setattr__(self, "encoder", encoder)

    def batch(self, rows, device):
        tokenized = tokenize([self.texts[row] for row in rows], self.encoder)
        pooled, tokens = [None] * len(rows), [None] * len(rows)
        for order, embeddings, of_tokens in encode_sentences(tokenized, self.encoder, tokenized.batches):
            for row, embedding, lines in zip(order, embeddings, of_tokens, strict=True):
                pooled[row], tokens[row] = embedding, lines
        return torch.stack(pooled), torch.cat(tokens).float(), torch.tensor([len(lines) for lines in tokens])


class UncachedTrainer(PromptTrainer):
    def load_features(self):
        return Uncached(self._unique_texts, self.text_encoder)


def trainer(kind, texts_dir, text_encoder, out, **settings):
    config = TrainingConfig(epochs=3, batch_size=16, learning_rate=2e-2, **{"noise": 0.1, **settings})
    data = load_training_texts(texts_dir, 0.1, True, 0)
    model_config = make_config(
        text_encoder,
        id2label=dict(enumerate(data.names)),
        attribute_groups=[["cat", "dog"], ["car", "cup"]],
        cooccurrence_groups=[["cat", "dog", "car"], ["cup"]],
    )
    out.mkdir(exist_ok=True)
    return kind(model_config, config, data, text_encoder, Accelerator(cpu=True), out, feature_cache=out / "features")


def test_cached_and_uncached_training_give_the_same_loss_curve(texts_dir, text_encoder, tmp_path):
    curves = []
    for kind in (PromptTrainer, UncachedTrainer):
        history = trainer(kind, texts_dir, text_encoder, tmp_path / kind.__name__).train()["history"]
        curves.append([record["loss"] for record in history])
    assert curves[0][0] > curves[0][-1]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


def test_a_step_is_the_reference_loops(texts_dir, text_encoder, tmp_path):
    """Same sentences, same prompts: the loss and the prompts after it are those of TaI-DPT's plain loop."""
    ours = trainer(PromptTrainer, texts_dir, text_encoder, tmp_path, noise=0.0)
    reference = ReferenceLoop(ours)
    features, rows = ours.load_features(), np.arange(16)
    expected = reference.loss(rows)
    expected.backward()
    loss = float(ours._backward(rows, len(rows), 0, features)) / len(rows)
    # Token features are kept in half precision.
    assert loss == pytest.approx(float(expected.detach()), rel=1e-3)
    for name, parameter in ours.prompts.named_parameters():
        wanted = dict(reference.prompts.named_parameters())[name].grad
        alike = torch.nn.functional.cosine_similarity(parameter.grad.flatten(), wanted.flatten(), dim=0)
        assert alike > 0.999, (name, alike)
        assert parameter.grad.norm() == pytest.approx(float(wanted.norm()), rel=1e-2), name


def test_features_are_those_of_the_encoder(text_encoder, accelerator, tmp_path):
    features = cached_features(TEXTS, text_encoder, accelerator, tmp_path)
    rows = [3, 0, 2]
    pooled, tokens, lengths = features.batch(rows, torch.device("cpu"))
    start = 0
    for position, row in enumerate(rows):
        inputs = text_encoder.tokenizer([TEXTS[row]], return_tensors="pt")
        expected = text_encoder(inputs["input_ids"], inputs["attention_mask"])
        torch.testing.assert_close(pooled[position], expected.pooled[0], rtol=1e-4, atol=1e-5)
        real = expected.tokens[expected.mask]
        assert lengths[position] == len(real)
        torch.testing.assert_close(tokens[start : start + len(real)], real, rtol=1e-3, atol=1e-3)
        start += len(real)
    assert start == len(tokens)


def test_second_use_reads_what_the_first_built(text_encoder, accelerator, tmp_path, monkeypatch):
    first = cached_features(TEXTS, text_encoder, accelerator, tmp_path)
    monkeypatch.setattr(feature_cache, "encode_sentences", None)  # would fail if anything were computed
    second = cached_features(TEXTS, text_encoder, accelerator, tmp_path)
    assert np.array_equal(first.tokens, second.tokens)
    assert isinstance(second.tokens, np.memmap)
    assert second.tokens.dtype == np.float16


def test_the_key_changes_when_it_must(tiny_clip_dir, tiny_siglip_dir, tmp_path):
    encoder = load_text_encoder(str(tiny_clip_dir))
    key = features_key(TEXTS, encoder)
    elsewhere = shutil.copytree(tiny_clip_dir, tmp_path / "elsewhere")
    assert features_key(TEXTS, load_text_encoder(str(elsewhere))) == key  # the name is not what counts
    changed = {"other sentences": features_key([*TEXTS[:-1], "a red sky"], encoder)}
    changed["other order"] = features_key(TEXTS[::-1], encoder)
    changed["words across sentences"] = features_key(["a cattwo dogs", *TEXTS[2:]], encoder)
    changed["other encoder"] = features_key(TEXTS, load_text_encoder(str(tiny_siglip_dir)))
    changed["half precision"] = features_key(TEXTS, load_text_encoder(str(tiny_clip_dir), dtype=torch.float16))
    config = json.loads((elsewhere / "config.json").read_text())
    config["text_config"]["hidden_act"] = "gelu"
    (elsewhere / "config.json").write_text(json.dumps(config))
    changed["other activation"] = features_key(TEXTS, load_text_encoder(str(elsewhere)))
    with torch.no_grad():
        encoder.model.text_projection.weight[0, 0] += 1e-3
    changed["one weight"] = features_key(TEXTS, encoder)
    tokenizer = json.loads((tiny_clip_dir / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a</w>"], vocabulary["b</w>"] = vocabulary["b</w>"], vocabulary["a</w>"]
    other_words = shutil.copytree(tiny_clip_dir, tmp_path / "words")
    (other_words / "tokenizer.json").write_text(json.dumps(tokenizer))
    changed["other vocabulary"] = features_key(TEXTS, load_text_encoder(str(other_words)))
    assert len({key, *changed.values()}) == 1 + len(changed), changed


def test_another_encoders_features_are_not_used(texts_dir, tiny_clip_dir, tmp_path, accelerator):
    """A folder that holds other weights since: same path, other features."""
    folder = shutil.copytree(tiny_clip_dir, tmp_path / "encoder")
    before = cached_features(TEXTS, load_text_encoder(str(folder)), accelerator, tmp_path / "cache")
    changed = load_text_encoder(str(folder))
    with torch.no_grad():
        changed.model.text_projection.weight.mul_(torch.randn(changed.model.text_projection.weight.shape))
    after = cached_features(TEXTS, changed, accelerator, tmp_path / "cache")
    assert not np.allclose(before.pooled, after.pooled, atol=1e-2)


@pytest.mark.parametrize("damage", ["cut", "no description", "killed while building"])
def test_half_written_cache_is_rebuilt(text_encoder, accelerator, tmp_path, damage):
    whole = cached_features(TEXTS, text_encoder, accelerator, tmp_path)
    expected = np.array(whole.tokens)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    if damage == "cut":
        with (folder / "tokens.npy").open("r+b") as file:
            file.truncate(500)
    elif damage == "no description":
        (folder / "features.json").unlink()
    else:
        folder.rename(folder.with_name(f".{folder.name}.partial"))
    again = cached_features(TEXTS, text_encoder, accelerator, tmp_path)
    np.testing.assert_array_equal(again.tokens, expected)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {folder.name}


def test_full_disk_is_named(text_encoder, accelerator, tmp_path, monkeypatch):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(WordsightError, match=r"can't be written.*Make room.*WORDSIGHT_CACHE"):
            cached_features(TEXTS * 50, text_encoder, accelerator, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(cached_features(TEXTS * 50, text_encoder, accelerator, tmp_path).pooled) == 200


def test_two_runs_at_once_build_once(text_encoder, accelerator, tmp_path):
    """The second waits for the first's lock and reads what it built."""
    built = []

    def build():
        built.append(cached_features(TEXTS * 20, text_encoder, accelerator, tmp_path))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(built[0].tokens, built[1].tokens)


def launch(texts_dir, encoder, out, *options, environment):
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "wordsight", "train"]
    arguments = [str(texts_dir), "--encoder", str(encoder), "--out", str(out), "--epochs", "1"]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen([*command, *arguments], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_processes_build_what_one_builds(texts_dir, tiny_clip_dir, tmp_path):
    config = TrainingConfig.for_encoder(str(tiny_clip_dir), epochs=1)
    train_prompts(texts_dir, tmp_path / "m1", str(tiny_clip_dir), config=config, feature_cache=tmp_path / "one")
    two = launch(
        *(texts_dir, tiny_clip_dir, tmp_path / "m2", "--standalone", "--nproc_per_node", "2"),
        environment={"WORDSIGHT_CACHE": str(tmp_path / "two")},
    )
    output, _ = two.communicate(timeout=300)
    assert two.returncode == 0, output.decode()
    (expected,), (actual,) = (tmp_path / "one").glob("*/tokens.npy"), (tmp_path / "two/features").glob("*/tokens.npy")
    assert expected.parent.name == actual.parent.name
    for name in ("tokens.npy", "pooled.npy", "offsets.npy"):
        assert (expected.parent / name).read_bytes() == (actual.parent / name).read_bytes(), name


def test_machines_that_share_no_disk_build_one_each(texts_dir, tiny_clip_dir, tmp_path):
    """Two nodes on this machine, each with a cache folder of its own."""
    port = 20000 + os.getpid() % 20000
    nodes = [
        launch(
            *(texts_dir, tiny_clip_dir, tmp_path / "model", "--nnodes", "2", "--node_rank", str(rank)),
            *("--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)),
            environment={"WORDSIGHT_CACHE": str(tmp_path / f"node-{rank}")},
        )
        for rank in range(2)
    ]
    outputs = [node.communicate(timeout=300)[0].decode() for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    first, second = (next((tmp_path / f"node-{rank}/features").glob("*/tokens.npy")) for rank in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_memory_that_runs_out_halves_a_step(texts_dir, text_encoder, tmp_path, monkeypatch):
    """No GPU here, so the encoder plays one whose memory holds two prompts' gradients."""
    whole = trainer(PromptTrainer, texts_dir, text_encoder, tmp_path / "whole")
    expected = [record["loss"] for record in whole.train()["history"]]
    small = trainer(PromptTrainer, texts_dir, text_encoder, tmp_path / "small")
    encode = type(text_encoder).encode_prompts
    sizes = []

    def limited(self, prompts, soft_tokens):
        sizes.append(len(soft_tokens))
        if len(soft_tokens) > 2 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return encode(self, prompts, soft_tokens)

    monkeypatch.setattr(type(text_encoder), "encode_prompts", limited)
    with pytest.warns(UserWarning, match="Out of memory with 16 sentences at a time; going on with 8"):
        small.fit_to_memory(small.load_features())
    assert sizes[0] == 4 and sizes[-1] == 2
    losses = [record["loss"] for record in small.train()["history"]]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
