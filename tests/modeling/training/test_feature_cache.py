"""The feature cache: each sentence encoded once, never another encoder's features, rebuilt when damaged, kept small."""

import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from accelerate import PartialState

from benchmarks.training import ReferenceLoop
from tests.fixtures.process import wordsight_on
from wordsight import PromptTrainer, WordsightForMultiLabelImageClassification, load_text_encoder, train_prompts
from wordsight.modeling.text_features import encode_sentences, tokenize
from wordsight.modeling.training import features as feature_cache
from wordsight.modeling.training.feature_store import SentenceFeatures
from wordsight.modeling.training.features import cached_features, encoder_fingerprint, features_dir
from wordsight.modeling.training.settings import arguments_of
from wordsight.utils.errors import InvalidInputError, WordsightError

TEXTS = ["a cat", "two dogs run over a wide green field", "a wine glass", "nothing but a very blue and empty sky"]


@pytest.fixture(autouse=True)
def one_process():
    PartialState()


@pytest.fixture
def encoded(monkeypatch):
    """How many sentences went through an encoder, call by call."""
    counts = []

    def counting(tokenized, encoder, batches):
        counts.append(sum(map(len, batches)))
        return encode_sentences(tokenized, encoder, batches)

    monkeypatch.setattr(feature_cache, "encode_sentences", counting)
    return counts


class UncachedTrainer(PromptTrainer):
    """Features that are computed anew, as TaI-DPT does."""

    def encode(self, *parts):
        for part in filter(None, parts):
            tokenized = tokenize(part.texts, self.model.load_text_encoder())
            pooled, tokens = [None] * len(part), [None] * len(part)
            for order, embeddings, of_tokens in encode_sentences(
                tokenized, self.model.load_text_encoder(), tokenized.batches
            ):
                for row, embedding, lines in zip(order, embeddings, of_tokens, strict=True):
                    pooled[row], tokens[row] = embedding, lines
            counts = np.array([len(lines) for lines in tokens])
            part.features = SentenceFeatures(
                torch.stack(pooled).numpy(),
                torch.cat(tokens).numpy(),
                np.arange(len(part)),
                np.cumsum(counts) - counts,
                counts,
            )


def trainer(kind, texts_dir, text_encoder, out, **settings):
    args = arguments_of({"epochs": 3, "batch_size": 16, "learning_rate": 2e-2, "noise": 0.1} | settings, out)
    args.feature_cache = str(out / "features")
    model = WordsightForMultiLabelImageClassification.from_encoder(
        text_encoder.model.name_or_path, texts_dir, text_encoder=text_encoder
    )
    return kind(model=model, args=args, train_dataset=texts_dir)


def test_cached_and_uncached_training_give_the_same_loss_curve(texts_dir, tiny_clip_dir, tmp_path):
    curves = []
    for kind in (PromptTrainer, UncachedTrainer):
        run = trainer(kind, texts_dir, load_text_encoder(str(tiny_clip_dir)), tmp_path / kind.__name__)
        run.train()
        curves.append([record["loss"] for record in run.log_content["history"]])
    assert curves[0][0] > curves[0][-1]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


def test_a_step_is_the_reference_loops(texts_dir, text_encoder, tmp_path):
    """Same sentences, same prompts: the loss and the gradients are those of TaI-DPT's plain loop."""
    if text_encoder.model.config.model_type == "wordsight-offline":
        text_encoder.model.name_or_path = "imagenet"
    ours = trainer(PromptTrainer, texts_dir, text_encoder, tmp_path, noise=0.0, concept_weight=0.0)
    reference = ReferenceLoop(ours)
    batches, count = ours.get_batch_samples(iter(ours.get_train_dataloader()), 1, ours.args.device)
    (rows,) = [batch.rows for batch in ours.get_train_dataloader().batch_sampler][:1]
    expected = reference.loss(rows)
    expected.backward()
    ours.create_optimizer()
    loss = float(ours.training_step(ours.model, batches[0], count))
    assert count == len(rows) == 16
    # Token features are kept in half precision.
    assert loss == pytest.approx(float(expected.detach()), rel=1e-3)
    for name, parameter in ours.model.prompts.named_parameters():
        wanted = dict(reference.prompts.named_parameters())[name].grad
        alike = torch.nn.functional.cosine_similarity(parameter.grad.flatten(), wanted.flatten(), dim=0)
        assert alike > 0.999, (name, alike)
        assert parameter.grad.norm() == pytest.approx(float(wanted.norm()), rel=1e-2), name


def test_features_are_those_of_the_encoder(text_encoder, tmp_path):
    cached_features(TEXTS[2:], text_encoder, tmp_path)
    features = cached_features(TEXTS, text_encoder, tmp_path)  # in another order than on disk
    rows = [3, 0, 2]
    batch = features.batch(rows)
    assert batch["token_embeds"].dtype == torch.float16
    start = 0
    for position, row in enumerate(rows):
        inputs = text_encoder.tokenizer([TEXTS[row]], return_tensors="pt")
        expected = text_encoder(inputs["input_ids"], inputs["attention_mask"])
        torch.testing.assert_close(batch["text_embeds"][position], expected.pooled[0], rtol=1e-4, atol=1e-5)
        real = expected.tokens[expected.mask]
        assert batch["token_counts"][position] == len(real)
        tokens = batch["token_embeds"][start : start + len(real)].float()
        torch.testing.assert_close(tokens, real, rtol=1e-3, atol=1e-3)
        start += len(real)
    assert start == len(batch["token_embeds"])
    assert {name: len(tensor) for name, tensor in features.batch([]).items()} == dict.fromkeys(batch, 0)


def test_only_new_sentences_are_encoded(tiny_clip_dir, tmp_path, encoded):
    encoder = load_text_encoder(str(tiny_clip_dir))
    first = cached_features(TEXTS, encoder, tmp_path)
    second = cached_features(TEXTS[::-1], encoder, tmp_path)
    third = cached_features([*TEXTS, "a red sky", "a red sky"], encoder, tmp_path)
    assert encoded == [4, 1]
    assert isinstance(second.tokens, np.memmap) and second.tokens.dtype == np.float16
    for row, text in enumerate(TEXTS):
        for name, tensor in first.batch([row]).items():
            assert torch.equal(second.batch([TEXTS[::-1].index(text)])[name], tensor)
            assert torch.equal(third.batch([row])[name], tensor)
    assert torch.equal(third.batch([4])["text_embeds"], third.batch([5])["text_embeds"])


def test_the_encoder_is_known_by_what_it_computes(tiny_clip_dir, tiny_siglip_dir, tmp_path):
    encoder = load_text_encoder(str(tiny_clip_dir))
    key = encoder_fingerprint(encoder)
    elsewhere = shutil.copytree(tiny_clip_dir, tmp_path / "elsewhere")
    assert encoder_fingerprint(load_text_encoder(str(elsewhere))) == key  # the name is not what counts
    changed = {"other encoder": encoder_fingerprint(load_text_encoder(str(tiny_siglip_dir)))}
    changed["half precision"] = encoder_fingerprint(load_text_encoder(str(tiny_clip_dir), dtype=torch.float16))
    config = json.loads((elsewhere / "config.json").read_text())
    config["text_config"]["hidden_act"] = "gelu"
    (elsewhere / "config.json").write_text(json.dumps(config))
    changed["other activation"] = encoder_fingerprint(load_text_encoder(str(elsewhere)))
    with torch.no_grad():
        encoder.model.text_projection.weight[0, 0] += 1e-3
    changed["one weight"] = encoder_fingerprint(encoder)
    tokenizer = json.loads((tiny_clip_dir / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a</w>"], vocabulary["b</w>"] = vocabulary["b</w>"], vocabulary["a</w>"]
    other_words = shutil.copytree(tiny_clip_dir, tmp_path / "words")
    (other_words / "tokenizer.json").write_text(json.dumps(tokenizer))
    changed["other vocabulary"] = encoder_fingerprint(load_text_encoder(str(other_words)))
    assert len({key, *changed.values()}) == 1 + len(changed), changed


def test_another_encoders_features_are_not_used(tiny_clip_dir, tmp_path):
    """A folder that holds other weights since: same path, other features."""
    folder = shutil.copytree(tiny_clip_dir, tmp_path / "encoder")
    before = cached_features(TEXTS, load_text_encoder(str(folder)), tmp_path / "cache")
    changed = load_text_encoder(str(folder))
    with torch.no_grad():
        changed.model.text_projection.weight.mul_(torch.randn(changed.model.text_projection.weight.shape))
    after = cached_features(TEXTS, changed, tmp_path / "cache")
    assert not np.allclose(before.pooled, after.pooled, atol=1e-2)


@pytest.mark.parametrize("damage", ["cut", "no description", "no tokens"])
def test_a_damaged_cache_is_rebuilt(tiny_clip_dir, tmp_path, encoded, damage):
    encoder = load_text_encoder(str(tiny_clip_dir))
    expected = cached_features(TEXTS, encoder, tmp_path).batch(range(4))
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    if damage == "cut":
        with (folder / "tokens.bin").open("r+b") as file:
            file.truncate(500)
    elif damage == "no description":
        (folder / "store.json").unlink()
    else:
        (folder / "tokens.bin").unlink()
    with pytest.warns(UserWarning, match="damaged; they are built anew"):
        again = cached_features(TEXTS, encoder, tmp_path).batch(range(4))
    assert encoded == [4, 4]
    for name, tensor in expected.items():
        assert torch.equal(again[name], tensor)


def test_what_a_killed_run_left_is_written_over(tiny_clip_dir, tmp_path, encoded):
    """Features without a record, and half a record."""
    encoder = load_text_encoder(str(tiny_clip_dir))
    expected = cached_features(TEXTS, encoder, tmp_path / "undisturbed").batch(range(4))
    cached_features(TEXTS[:2], encoder, tmp_path / "killed")
    (folder,) = (path for path in (tmp_path / "killed").iterdir() if path.is_dir())
    for name, count in (("pooled.bin", 1000), ("tokens.bin", 333), ("index.bin", 7)):
        with (folder / name).open("ab") as file:
            file.write(b"x" * count)
    actual = cached_features(TEXTS, encoder, tmp_path / "killed").batch(range(4))
    assert encoded == [4, 2, 2]
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=1e-3, atol=1e-3)  # other batches, other roundings


def test_the_cache_shrinks(tiny_clip_dir, tmp_path, encoded, monkeypatch):
    """The stores of encoders that were not used for longest go, then the sentences of other runs."""
    encoders = []
    for number in range(3):
        encoder = load_text_encoder(str(tiny_clip_dir))
        with torch.no_grad():
            encoder.model.text_projection.weight.add_(0.1 * number)
        encoders.append(encoder)
        cached_features(TEXTS, encoder, tmp_path)
        time.sleep(0.02)
    old_format = tmp_path / "features-of-an-old-version"
    old_format.mkdir()
    (old_format / "features.json").touch()
    cached_features(TEXTS, encoders[0], tmp_path)  # used again
    size = sum(path.stat().st_size for path in (tmp_path / encoder_fingerprint(encoders[0])).glob("*.bin"))
    monkeypatch.setenv("WORDSIGHT_FEATURES_GB", str(2.6 * size / 1e9))
    cached_features([*TEXTS, "a"], encoders[2], tmp_path)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {encoder_fingerprint(encoders[0]), encoder_fingerprint(encoders[2])}
    monkeypatch.setenv("WORDSIGHT_FEATURES_GB", str(1.2 * size / 1e9))
    encoded.clear()
    kept = cached_features([TEXTS[0], *("other words " + text for text in TEXTS[1:])], encoders[2], tmp_path)
    assert encoded == [4] and len(kept.pooled) == 4
    # A run's own sentences are kept in any case.
    monkeypatch.setenv("WORDSIGHT_FEATURES_GB", "0.000001")
    cached_features(TEXTS * 2, encoders[2], tmp_path)
    encoded.clear()
    cached_features(TEXTS, encoders[2], tmp_path)
    assert encoded == []
    monkeypatch.setenv("WORDSIGHT_FEATURES_GB", "lots")
    with pytest.raises(InvalidInputError, match="WORDSIGHT_FEATURES_GB can't be 'lots'"):
        cached_features([*TEXTS, "b"], encoders[2], tmp_path)


def test_full_disk_is_named(text_encoder, tmp_path):
    import resource

    texts = [f"{text} {number}" for text in TEXTS for number in range(50)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(WordsightError, match=r"can't be written.*Make room.*WORDSIGHT_CACHE"):
            cached_features(texts, text_encoder, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(cached_features(texts, text_encoder, tmp_path)) == 200


def test_two_runs_at_once_encode_once(tiny_clip_dir, tmp_path, encoded):
    """The second waits for the first's lock and reads what it added."""
    encoder = load_text_encoder(str(tiny_clip_dir))
    texts = [f"{text} {number}" for text in TEXTS for number in range(20)]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(cached_features(texts, encoder, tmp_path))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(encoded) == 80
    np.testing.assert_array_equal(found[0].tokens, found[1].tokens)


def test_two_processes_build_what_one_builds(texts_dir, tiny_clip_dir, tmp_path):
    args = arguments_of({"epochs": 1}, tmp_path, feature_cache=str(tmp_path / "one"))
    train_prompts(texts_dir, tmp_path / "m1", str(tiny_clip_dir), args=args)
    arguments = ["train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "m2", "--epochs", 1]
    processes = [{"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"} for rank in range(2)]
    two = wordsight_on(processes, *arguments, env=os.environ | {"WORDSIGHT_CACHE": str(tmp_path / "two")})
    assert two.returncode == 0, two.stderr
    (expected,), (actual,) = (tmp_path / "one").glob("*/tokens.bin"), (tmp_path / "two/features").glob("*/tokens.bin")
    assert expected.parent.name == actual.parent.name
    for name in ("tokens.bin", "pooled.bin", "index.bin"):
        assert (expected.parent / name).read_bytes() == (actual.parent / name).read_bytes(), name


def test_machines_that_share_no_disk_build_one_each(texts_dir, tiny_clip_dir, tmp_path):
    """Two nodes on this machine, each with a cache folder of its own, started as srun does: no LOCAL_WORLD_SIZE."""
    assert "LOCAL_WORLD_SIZE" not in os.environ
    arguments = ["train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model", "--epochs", 1]
    nodes = [{"LOCAL_RANK": "0", "WORDSIGHT_CACHE": str(tmp_path / f"node-{rank}")} for rank in range(2)]
    result = wordsight_on(nodes, *arguments)
    assert result.returncode == 0, result.stderr
    first, second = (next((tmp_path / f"node-{rank}/features").glob("*/tokens.bin")) for rank in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_it_is_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path))
    assert features_dir() == tmp_path / "features"
