"""Training for real: it learns, on one process and on two, and goes on after kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback, pipeline

from tests.fixtures.process import Started, wordsight
from tests.fixtures.texts import CATEGORIES, write_texts
from wordsight import (
    PromptTrainer,
    PromptTrainingArguments,
    WordsightForMultiLabelImageClassification,
    load_text_encoder,
    train_prompts,
)
from wordsight.modeling.calibration import fit_calibration
from wordsight.modeling.training.arguments import CONFIG_FIELDS
from wordsight.modeling.training.batches import GlobalBatches
from wordsight.modeling.training.checkpoints import checkpoints
from wordsight.modeling.training.noise import FeatureNoise
from wordsight.modeling.training.settings import arguments_of, settings_of
from wordsight.utils.errors import InvalidInputError, WordsightError

# 71 sentences: the last of five steps has seven.
SETTINGS = {
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 5e-2,
    "noise": 0.1,
    "seed": 3,
    "prior_weight": 1.0,
    "mean_shift": True,
}
ARGUMENTS = [
    *("--epochs", "4", "--batch-size", "16", "--learning-rate", "0.05", "--noise", "0.1", "--seed", "3"),
    *("--prior-weight", "1", "--mean-shift"),
]


def settings(out, **changes):
    return arguments_of(SETTINGS | changes, out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, texts_dir, tiny_clip_dir):
    """The model that one process learns, from the command line."""
    out = tmp_path_factory.mktemp("trained") / "model"
    result = wordsight("train", texts_dir, "--encoder", tiny_clip_dir, "--out", out, *ARGUMENTS)
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr.lower(), result.stderr
    return out


@pytest.fixture(scope="module")
def untrained(tiny_clip_dir):
    text_encoder = load_text_encoder(str(tiny_clip_dir))

    def make(texts=None, **fields):
        names = [", ".join(category.all_names) for category in CATEGORIES]
        return WordsightForMultiLabelImageClassification.from_encoder(
            str(tiny_clip_dir), texts or names, text_encoder=text_encoder, **fields
        )

    return make


def history_of(folder):
    return json.loads((folder / "training_log.json").read_text())["history"]


def test_it_learns(trained):
    log = json.loads((trained / "training_log.json").read_text())
    history = log["history"]
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < 0.95 * history[0]["loss"]
    assert max(record["validation_map"] for record in history) > 0.6  # by chance about 0.5: two of four a sentence
    assert log["training"] | SETTINGS == log["training"]
    assert set(log["validation_ap"]) <= {"cat", "dog", "car", "cup"} == set(log["example_sentences"])


def test_what_is_saved(trained, tiny_clip_dir):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "preprocessor_config.json"),
        *("README.md", "training_log.json", "knowledge.json", "training_curve.png", "categories.png"),
    }
    model = WordsightForMultiLabelImageClassification.from_pretrained(trained)
    assert model.config.category_names == [category.name for category in CATEGORIES]
    assert model.config.encoder == str(tiny_clip_dir)
    assert model.config.synonyms == {"cat": ["kitten"], "cup": ["mug"]}
    assert model.config.provenance["training_sentences"] == 71
    assert "use_cache" not in json.loads((trained / "config.json").read_text())
    assert "cat" in (trained / "README.md").read_text()
    assert model.global_embeddings.norm(dim=-1).tolist() == pytest.approx([1] * 4, abs=1e-5)


def test_two_processes_give_what_one_gives(trained, texts_dir, tiny_clip_dir, tmp_path):
    out = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, "-m", "wordsight"]
    command += ["train", texts_dir, "--encoder", tiny_clip_dir, "--out", out, *ARGUMENTS]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr.lower(), result.stderr
    one, two = load_file(trained / "model.safetensors"), load_file(out / "model.safetensors")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-3, rtol=2e-3)
    for first, second in zip(history_of(trained), history_of(out), strict=True):
        assert second == pytest.approx(first, rel=1e-3)


def test_gradient_accumulation_gives_the_same(texts_dir, tiny_clip_dir, tmp_path):
    """16 sentences in 3 pieces, and 7 in 3; the pull to class concepts is in test_concepts.py."""
    for pieces in (1, 3):
        args = settings(tmp_path, gradient_accumulation_steps=pieces, concept_weight=0.0)
        train_prompts(texts_dir, tmp_path / str(pieces), str(tiny_clip_dir), args=args)
    whole, cut = (load_file(tmp_path / pieces / "model.safetensors")["global_embeddings"] for pieces in "13")
    torch.testing.assert_close(cut, whole, atol=2e-3, rtol=2e-3)
    for first, second in zip(history_of(tmp_path / "1"), history_of(tmp_path / "3"), strict=True):
        assert second == pytest.approx(first, rel=1e-3)


def test_shares_of_a_step_are_all_of_it():
    def shares(processes, accumulation, sentences=23, batch=8, epoch=2):
        parts = []
        for process in range(processes):
            batches = GlobalBatches(sentences, batch, process, processes, accumulation, seed=1)
            batches.set_epoch(epoch)
            parts.append([set(part.rows.tolist()) for part in batches])
            assert len(parts[-1]) == len(batches)
        # Step by step, what all processes have of it.
        return [
            set().union(*(part[step + piece] for part in parts for piece in range(accumulation)))
            for step in range(0, len(parts[0]), accumulation)
        ]

    expected = shares(1, 1)
    assert [len(step) for step in expected] == [8, 8, 7]
    for processes, accumulation in ((2, 1), (1, 3), (3, 2), (16, 1)):  # 16: some have nothing to do
        assert shares(processes, accumulation) == expected
    assert shares(1, 1, epoch=3) != expected


def test_kill_and_resume_give_the_same_bit_for_bit(texts_dir, tiny_clip_dir, tmp_path):
    """Killed after the first checkpoint; the resumed run ends where an undisturbed one does."""
    arguments = ["train", texts_dir, "--encoder", tiny_clip_dir, *ARGUMENTS, "--epochs", 12]
    undisturbed = wordsight(*arguments, "--out", tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    out = tmp_path / "killed"
    process = Started([*arguments, "--out", out])
    deadline = time.monotonic() + 120
    while not checkpoints(out) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoints(out) and not (out / "config.json").exists()
    # One that was being written: no state yet, or half of it.
    (out / "checkpoint-998").mkdir()
    (out / "checkpoint-999").mkdir()
    (out / "checkpoint-999" / "trainer_state.json").write_text('{"epoch": 3.0, "glob')

    resumed = wordsight(*arguments, "--out", out, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    expected, actual = (load_file(path / "model.safetensors") for path in (tmp_path / "undisturbed", out))
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name
    assert history_of(out) == history_of(tmp_path / "undisturbed")
    assert not list(out.glob("checkpoint*"))


def test_resume_in_the_middle_of_an_epoch(texts_dir, untrained, tmp_path):
    """With checkpoints every three of five steps."""
    models = []
    for name in ("undisturbed", "stopped"):
        args = settings(tmp_path / name, epochs=2)
        args.set_save("steps", steps=3)
        args.load_best_model_at_end = False
        trainer = PromptTrainer(model=untrained(seed=3), args=args, train_dataset=texts_dir)
        trainer.train()
        models.append(trainer.model)
    assert [path.name for path in checkpoints(tmp_path / "stopped")] == [f"checkpoint-{n}" for n in (3, 6, 9, 10)]
    trainer = PromptTrainer(model=untrained(seed=3), args=args, train_dataset=texts_dir)
    trainer.train(resume_from_checkpoint=str(tmp_path / "stopped" / "checkpoint-3"))
    for name, tensor in trainer.model.prompts.state_dict().items():
        assert torch.equal(tensor, models[0].prompts.state_dict()[name]), name


def test_resume_with_other_settings_is_refused(texts_dir, untrained, tmp_path):
    def trainer(**changes):
        texts, fields = changes.pop("texts", texts_dir), changes.pop("fields", {})
        return PromptTrainer(model=untrained(**fields), args=settings(tmp_path, **changes), train_dataset=texts)

    trainer(epochs=1).train()
    trainer(epochs=1, gradient_accumulation_steps=2, prompt_chunk_size=2).train(resume_from_checkpoint=True)
    other_texts = Dataset.from_dict({"text": ["A cat and a dog.", "A dog.", "A cat."], "labels": [["cat"]] * 3})
    groups = {"attribute_groups": [["cat"], ["dog", "car", "cup"]]}
    for changes, named in (
        ({"noise": 0.2}, r"\(noise\)"),
        ({"learning_rate": 1e-3, "batch_size": 8}, r"\(learning_rate, batch_size\)"),
        ({"texts": other_texts}, r"\(sentences\)"),
        ({"fields": {"groups": groups}}, r"\(groups\)"),
        ({"fields": {"num_shared_tokens": 2}}, r"\(tokens\)"),
        ({"fields": {"margin": 0.5}}, r"\(method\)"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the other sentences mention few categories
            other = trainer(**{"epochs": 1} | changes)
        expected = rf"checkpoint-\d+ is of a run with other settings {named}.*start anew without --resume"
        with pytest.raises(InvalidInputError, match=expected):
            other.train(resume_from_checkpoint=True)


def test_resume_without_a_checkpoint(texts_dir, untrained, tmp_path):
    trainer = PromptTrainer(model=untrained(), args=settings(tmp_path), train_dataset=texts_dir)
    with pytest.raises(InvalidInputError, match="no checkpoint in"):
        trainer.train(resume_from_checkpoint=True)
    with pytest.raises(InvalidInputError, match="not a whole checkpoint"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))


def test_full_disk(texts_dir, tiny_clip_dir, tmp_path):
    """The operating system refuses to let files grow, as a full disk does; with room again, --resume goes on."""
    limit = 8000  # less than a checkpoint
    arguments = ["train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model", *ARGUMENTS]
    arguments += ["--feature-cache", tmp_path / "features"]
    filled = wordsight(*arguments, "--epochs", "1")  # the features, which are larger
    assert filled.returncode == 0, filled.stderr
    full = wordsight(*arguments, file_limit=limit)
    assert full.returncode == 1
    message = full.stderr.strip().splitlines()[-1]
    assert message.startswith("Error: ") and "checkpoint-5 can't be written" in message and "--resume" in message
    again = wordsight(*arguments, "--resume")
    assert again.returncode == 0, again.stderr


def test_half_precision(trained, texts_dir, tiny_clip_dir, tmp_path):
    """In the same process as another one: each run has its own precision."""
    histories = []
    for precision in ("no", "bf16"):
        args = settings(tmp_path, mixed_precision=precision, concept_weight=0.0)
        train_prompts(texts_dir, tmp_path / precision, str(tiny_clip_dir), args=args)
        histories.append(history_of(tmp_path / precision))
        log = json.loads((tmp_path / precision / "training_log.json").read_text())
        assert log["training"]["mixed_precision"] == precision
    full, half = ([record["loss"] for record in history] for history in histories)
    assert half != full and half == pytest.approx(full, rel=0.1)
    tensors = load_file(tmp_path / "bf16" / "model.safetensors").values()
    assert all(tensor.dtype == torch.float32 for tensor in tensors)
    model = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "bf16")
    before = model.global_embeddings.clone()
    model.update_category_embeddings()  # finished in single precision
    torch.testing.assert_close(before, model.global_embeddings, atol=1e-5, rtol=1e-5)


def test_logits_of_sentences_are_in_single_precision_under_autocast(untrained):
    model = untrained()
    unit = torch.nn.functional.normalize(torch.randn(9, model.config.projection_dim), dim=-1)
    sentences = {"text_embeds": unit[:3], "token_embeds": unit, "token_counts": torch.tensor([2, 4, 3])}
    expected = model(**sentences)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**sentences)
    torch.testing.assert_close(output.logits, expected.logits)
    torch.testing.assert_close(output.local_logits, expected.local_logits)


def test_early_stopping_and_the_best_checkpoint(texts_dir, untrained, tmp_path):
    """transformers' own callback; the model that is left is that of the best epoch."""
    args = settings(tmp_path, epochs=30, learning_rate=0.3)
    trainer = PromptTrainer(
        model=untrained(),
        args=args,
        train_dataset=texts_dir,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
    )
    trainer.train()
    maps = [record["validation_map"] for record in trainer.log_content["history"]]
    assert len(maps) < 30 and len(maps) - 1 - int(np.argmax(maps)) == 2
    assert trainer.state.best_metric == max(maps)
    assert trainer.evaluate()["eval_map"] == pytest.approx(max(maps))
    best = load_file(f"{trainer.state.best_model_checkpoint}/model.safetensors")
    for name, tensor in trainer.model.prompts.state_dict().items():
        assert torch.equal(tensor, best[f"prompts.{name}"]), name


def test_own_metrics_and_own_held_out_sentences(texts_dir, untrained, tmp_path):
    seen = []

    def metrics(prediction):
        seen.append(prediction)
        decisions = prediction.predictions > 0
        return {"recall": (decisions & (prediction.label_ids == 1)).sum() / (prediction.label_ids == 1).sum()}

    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=["cat", "dog", "car", "cup"]))})
    rows = {"text": ["A cat.", "A dog and a car."] * 6, "labels": [[0], [1, 2]] * 6}
    args = settings(tmp_path, epochs=2)
    args.metric_for_best_model = "recall"
    trainer = PromptTrainer(
        model=untrained(),
        args=args,
        train_dataset=texts_dir,
        eval_dataset=Dataset.from_dict(rows, features=features),
        compute_metrics=metrics,
    )
    trainer.train()
    assert seen[0].predictions.shape == seen[0].label_ids.shape == (12, 4)
    assert seen[0].label_ids[1].tolist() == [0, 1, 1, 0]
    logged = [entry for entry in trainer.state.log_history if "eval_recall" in entry]
    assert len(logged) == 2 and all("eval_map" in entry and "eval_loss" in entry for entry in logged)
    assert trainer.state.best_metric == max(entry["eval_recall"] for entry in logged)
    assert len(trainer.train_dataset) == 72 + 6  # nothing held out; a template sentence for each name
    predicted = trainer.predict(Dataset.from_dict({"text": ["A mug."], "labels": [["mug"]]}))
    assert predicted.predictions.shape == (1, 4) and predicted.label_ids.tolist() == [[0, 0, 0, 1]]


def test_the_model_is_finished_after_training(texts_dir, untrained, tmp_path):
    """Its logits are calibrated on the held-out sentences, and what is saved is what is there."""
    trainer = PromptTrainer(model=untrained(), args=settings(tmp_path / "run", epochs=2), train_dataset=texts_dir)
    trainer.train()
    trainer.save_model(str(tmp_path / "elsewhere"))
    found = trainer.predict(texts_dir)
    similarities = found.predictions / trainer.model.config.score_scale + trainer.model.config.score_threshold
    rows = [trainer.eval_dataset.texts.index(text) for text in trainer.eval_dataset.texts]
    assert len(rows) == 7
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path / "elsewhere")
    assert loaded.config.score_threshold == trainer.model.config.score_threshold
    torch.testing.assert_close(loaded.global_embeddings, trainer.model.global_embeddings)
    assert np.isfinite(similarities).all()
    labels = pipeline("image-classification", model=str(tmp_path / "elsewhere"))(np_photo())
    assert {entry["label"] for entry in labels} == {"cat", "dog", "car", "cup"}


def np_photo():
    from PIL import Image

    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))


def test_several_splits_are_taken_as_they_are(texts_dir, untrained, tmp_path):
    from wordsight.description_gen.dataset import normalize_texts, train_validation_split

    splits = train_validation_split(normalize_texts(texts_dir)[0], 0.25, seed=1)
    trainer = PromptTrainer(model=untrained(splits), args=settings(tmp_path), train_dataset=splits)
    assert trainer.eval_dataset.texts == splits["validation"]["text"][:]
    assert trainer.knowledge is not None and trainer.knowledge.model == "templates"


def test_users_groups_and_token_counts(texts_dir, tiny_clip_dir, tmp_path):
    groups = {"attribute_groups": [["cat", "cup"], ["dog", "car"]]}
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    tokens = {"num_shared_tokens": 0, "num_attribute_tokens": 3, "num_cooccurrence_tokens": 0, "num_category_tokens": 1}
    args = arguments_of(SETTINGS | {"epochs": 1}, tmp_path, **tokens)
    out = tmp_path / "m"
    model = train_prompts(texts_dir, out, str(tiny_clip_dir), args=args, groups=tmp_path / "groups.json")
    assert model.config.attribute_groups == groups["attribute_groups"]
    assert set(model.prompts.global_branch.levels) == {"attribute", "category"}
    (tmp_path / "groups.json").write_text(json.dumps({"attribute_groups": [["cat", "cow"], ["dog", "car"]]}))
    with pytest.raises(InvalidInputError, match=r"attribute_groups.*'cow'"):
        train_prompts(texts_dir, out, str(tiny_clip_dir), args=args, groups=tmp_path / "groups.json")


def test_arguments_of_the_method_are_the_models(texts_dir, untrained, tmp_path):
    given = {"logit_scale": 5.0, "margin": 0.5, "local_temperature_text": 0.1, "local_temperature_image": 0.2}
    given |= {"local_weight": 0.25, "prior_weight": 0.75, "mean_shift": True, "num_category_tokens": 7}
    args = PromptTrainingArguments(str(tmp_path), num_train_epochs=1, template="a drawing of a", **given)
    model = untrained()
    trainer = PromptTrainer(model=model, args=args, train_dataset=texts_dir)
    assert {name: getattr(model.config, name) for name in given} == given
    assert model.prompts.local_branch.levels["category"].shape[1] == 7
    trainer.train()
    trainer.save_model()
    loaded = WordsightForMultiLabelImageClassification.from_pretrained(tmp_path)
    assert {name: getattr(loaded.config, name) for name in given} == given
    # A model that is trained already goes on with its prompts, or not at all.
    plain = PromptTrainingArguments(str(tmp_path), num_train_epochs=1)
    again = PromptTrainer(model=loaded, args=plain, train_dataset=texts_dir)
    assert torch.equal(
        again.model.prompts.global_branch.levels["category"].cpu(), model.prompts.global_branch.levels["category"].cpu()
    )
    for changes in ({"num_category_tokens": 2}, {"template": "the"}):
        other = PromptTrainingArguments(str(tmp_path), **changes)
        with pytest.raises(InvalidInputError, match=rf"{next(iter(changes))} can't be changed.*trained already"):
            PromptTrainer(model=loaded, args=other, train_dataset=texts_dir)
    nothing = PromptTrainingArguments(
        str(tmp_path),
        **dict.fromkeys((f"num_{level}_tokens" for level in ("shared", "attribute", "cooccurrence", "category")), 0),
    )
    with pytest.raises(InvalidInputError, match="no prompt token to learn"):
        PromptTrainer(model=untrained(), args=nothing, train_dataset=texts_dir)


def test_folder_without_sentences(tmp_path, tiny_clip_dir):
    with pytest.raises(InvalidInputError, match=str(tmp_path)):
        train_prompts(tmp_path, tmp_path / "model", str(tiny_clip_dir))


def test_no_usable_sentence(tmp_path, tiny_clip_dir):
    write_texts(tmp_path / "texts", sentences=["Nothing of interest here.", "Nor here."])
    with pytest.raises(InvalidInputError, match="no two sentences that mention a category"):
        train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir))


def test_category_without_sentence_is_named_and_training_goes_on(tmp_path, tiny_clip_dir):
    write_texts(tmp_path / "texts", sentences=["A cat and a dog.", "A dog sleeps.", "A car with a dog.", "Cats!"] * 3)
    args = settings(tmp_path, epochs=1)
    with pytest.warns(UserWarning, match="No sentence mentions cup"):
        model = train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir), args=args)
    assert model.config.category_names == ["cat", "dog", "car", "cup"]


def test_category_of_too_many_tokens(tmp_path, tiny_clip_dir):
    from wordsight.description_gen import Category

    long = Category("extraordinarily-long-name-of-a-thing-that-nobody-ever-saw-in-any-photo-anywhere-on-earth")
    write_texts(tmp_path / "texts", [*CATEGORIES, long], ["A cat and a dog."] * 4)
    with pytest.raises(InvalidInputError, match=r"'extraordinarily.*the encoder takes"):
        train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir), args=settings(tmp_path))


def test_out_of_memory_says_what_to_do(texts_dir, untrained, tmp_path, monkeypatch):
    """No GPU here, so the encoder plays one whose memory is full."""

    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore.")

    trainer = PromptTrainer(model=untrained(), args=settings(tmp_path), train_dataset=texts_dir)
    monkeypatch.setattr(type(trainer.model.text_encoder), "encode_prompts", full)
    with pytest.raises(WordsightError, match=r"Out of memory.*20\.00 MiB\..*smaller prompt_chunk_size \(now 256\)"):
        trainer.train()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0),
        ("num_train_epochs", 0),
        ("global_batch_size", 0),
        ("noise", -1.0),
        ("validation_share", 1.0),
        ("gradient_accumulation_steps", 0),
        ("margin", -1),
        ("local_weight", 1.5),
        ("prior_weight", float("nan")),
        ("num_category_tokens", -1),
        ("logit_scale", 0),
    ],
)
def test_bad_arguments(name, value, tmp_path):
    with pytest.raises(InvalidInputError, match=rf"{name} can't be {value!r}"):
        PromptTrainingArguments(str(tmp_path), **{name: value})


def test_bad_settings(tmp_path):
    with pytest.raises(InvalidInputError, match=r"mixed_precision can't be 'half'; allowed are no, fp16 and bf16"):
        arguments_of({"mixed_precision": "half"}, tmp_path)
    with pytest.raises(InvalidInputError, match=r"no setting wight_decay"):
        arguments_of({"wight_decay": 1}, tmp_path)


def test_defaults_go_by_the_family_of_the_encoder(imagenet_encoder_dir, untrained, texts_dir, tmp_path):
    """Whatever is not set: five epochs of a CLIP do not take the ImageNet encoder's noise and prior."""
    clip = PromptTrainer(
        model=untrained(), args=PromptTrainingArguments(str(tmp_path), num_train_epochs=5), train_dataset=texts_dir
    )
    assert clip.args.num_train_epochs == 5
    found = {name: settings_of(clip.args)[name] for name in ("noise", "learning_rate", "batch_size")}
    assert found == {"noise": 0.3, "learning_rate": 2e-3, "batch_size": 512}
    assert (clip.model.config.prior_weight, clip.model.config.mean_shift) == (0.0, False)
    names = ["cat, kitten", "dog", "car", "cup, mug"]
    model = WordsightForMultiLabelImageClassification.from_encoder(str(imagenet_encoder_dir), names)
    args = PromptTrainingArguments(str(tmp_path), num_train_epochs=5)
    imagenet = PromptTrainer(model=model, args=args, train_dataset=texts_dir)
    found = {name: settings_of(imagenet.args)[name] for name in ("noise", "learning_rate", "batch_size")}
    assert found == {"noise": 8.0, "learning_rate": 3e-3, "batch_size": 256}
    assert (model.config.prior_weight, model.config.mean_shift) == (1.0, True)
    assert args.noise is None  # the user's own arguments stay as they are, for another encoder
    assert set(CONFIG_FIELDS) <= set(vars(args))


def test_noise_depends_on_the_sentence_alone():
    noise = FeatureNoise(2.0, 8, seed=0)
    pooled = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1)
    tokens, counts = torch.nn.functional.normalize(torch.randn(9, 8), dim=-1), torch.tensor([2, 4, 3])
    starts = torch.from_numpy(noise.starts(epoch=1, sentences=50)[[5, 6, 7]])
    together = noise(pooled, tokens, counts, starts)
    alone = FeatureNoise(2.0, 8, seed=0)(pooled[1:2], tokens[2:6], counts[1:2], starts[1:2])
    torch.testing.assert_close(alone[0][0], together[0][1])
    torch.testing.assert_close(alone[1], together[1][2:6])
    torch.testing.assert_close(together[0].norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(together[1].norm(dim=-1), torch.ones(9))
    assert not np.array_equal(noise.starts(1, 50), noise.starts(2, 50))
    assert not np.array_equal(noise.starts(1, 50), FeatureNoise(2.0, 8, seed=1).starts(1, 50))
    # Of the norm that was asked for, and other noise at every token.
    assert float(noise.bank.norm(dim=-1).mean()) == pytest.approx(2.0, rel=0.1)
    nothing = torch.zeros(4, 8)
    drawn = noise(nothing[:1], nothing, torch.tensor([4]), starts[:1])
    assert len({tuple(row.tolist()) for row in torch.cat(drawn)}) == 5


def test_noise_of_no_sentence():
    noise = FeatureNoise(1.0, 8, seed=0)
    none = torch.empty(0, dtype=torch.long)
    assert [tuple(part.shape) for part in noise(torch.empty(0, 8), torch.empty(0, 8), none, none)] == [(0, 8), (0, 8)]


def test_noise_costs_less_than_drawing_it():
    """Against a generator for each sentence, which took a tenth of a step."""
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.integers(10, 18, size=512))
    pooled, tokens = torch.randn(512, 512), torch.randn(int(counts.sum()), 512)
    noise = FeatureNoise(0.3, 512, seed=0)
    starts = torch.from_numpy(noise.starts(0, 512))

    def drawn():
        parts = [
            np.random.default_rng([0, 0, row]).standard_normal((1 + int(count), 512), dtype=np.float32)
            for row, count in enumerate(counts)
        ]
        own, others = np.stack([part[0] for part in parts]), np.concatenate([part[1:] for part in parts])
        return [
            torch.nn.functional.normalize(clean + torch.from_numpy(part) * 0.01, dim=-1)
            for clean, part in ((pooled, own), (tokens, others))
        ]

    def seconds(function):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(lambda: noise(pooled, tokens, counts, starts)) < 0.6 * seconds(drawn)


def test_calibration_puts_one_half_between_present_and_absent():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 3)) < [0.5, 0.1, 0.0]).astype(np.int8)
    logits = (rng.standard_normal((400, 3)) * 0.1 + [1.0, 2.0, 3.0] + labels * 1.5).astype(np.float32)
    scale, threshold = fit_calibration(logits, labels)
    scores = 1 / (1 + np.exp(-scale * (logits - threshold)))
    assert (scale > 0).all()
    assert ((scores >= 0.5) == labels)[:, :2].mean() > 0.99
    assert threshold[0] == pytest.approx(1.75, abs=0.1) and threshold[1] == pytest.approx(2.75, abs=0.1)
    assert np.isfinite(threshold[2])  # never present: takes the fit over all


def test_push_to_hub(published, texts_dir, tmp_path):
    """One commit with the card, the log and what the language model said; no checkpoints, no pickles."""
    from huggingface_hub import HfApi

    from tests.conftest import HUB

    token = HUB.tokens["write"]
    model = WordsightForMultiLabelImageClassification.from_pretrained(published.folder)
    args = PromptTrainingArguments(
        str(tmp_path / "again"), num_train_epochs=1, hub_model_id="alice/again", hub_token=token
    )
    trainer = PromptTrainer(model=model, args=args, train_dataset=texts_dir)
    trainer.train()
    trainer.push_to_hub(commit_message="Learned again")
    api = HfApi(token=token)
    files = set(api.list_repo_files("alice/again"))
    assert {"README.md", "config.json", "model.safetensors", "training_log.json", "knowledge.json"} <= files
    assert not [name for name in files if name.endswith((".pt", ".pth", ".bin")) or "checkpoint" in name]
    assert "Learned again" in [commit.title for commit in api.list_repo_commits("alice/again")]
