"""Training for real: it learns, on one process and on two, and goes on after kill -9."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from wordsight import TrainingConfig, WordsightForMultiLabelImageClassification, train_prompts
from wordsight.modeling.calibration import fit_calibration
from wordsight.modeling.training.trainer import add_noise, checkpoints
from wordsight.utils.errors import InvalidInputError

from .fixtures.texts import CATEGORIES, write_texts

SETTINGS = TrainingConfig(epochs=4, batch_size=16, learning_rate=5e-2, noise=0.1, seed=3)
ARGUMENTS = [
    *("--epochs", "4", "--batch-size", "16", "--learning-rate", "0.05", "--noise", "0.1", "--seed", "3"),
    *("--prior-weight", "1", "--mean-shift"),
]


def run(*arguments, launcher=(), **options):
    """`wordsight train` as a user starts it; torchrun for more processes."""
    start = [sys.executable, "-m", *launcher] if launcher else [sys.executable, "-m", "wordsight", "train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [*start, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, texts_dir, tiny_clip_dir):
    """The model that one process learns, from the command line."""
    out = tmp_path_factory.mktemp("trained") / "model"
    result = run(texts_dir, "--encoder", tiny_clip_dir, "--out", out, *ARGUMENTS)
    assert result.returncode == 0, result.stderr
    return out


def test_it_learns(trained):
    log = json.loads((trained / "training_log.json").read_text())
    history = log["history"]
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[-1]["validation_map"] > 0.6  # by chance about 0.5: two of four categories a sentence
    assert log["training"] == SETTINGS.to_dict()


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
    assert "cat" in (trained / "README.md").read_text()
    assert model.global_embeddings.norm(dim=-1).tolist() == pytest.approx([1] * 4, abs=1e-5)


def test_two_processes_give_what_one_gives(trained, texts_dir, tiny_clip_dir, tmp_path):
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "wordsight", "train")
    out = tmp_path / "two"
    result = run(texts_dir, "--encoder", tiny_clip_dir, "--out", out, *ARGUMENTS, launcher=launcher)
    assert result.returncode == 0, result.stderr
    assert "fewer" not in result.stderr
    one, two = load_file(trained / "model.safetensors"), load_file(out / "model.safetensors")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-3, rtol=2e-3)
    histories = [json.loads((path / "training_log.json").read_text())["history"] for path in (trained, out)]
    for first, second in zip(*histories, strict=True):
        assert second == pytest.approx(first, rel=1e-3)


def test_gradient_accumulation_gives_the_same(trained, texts_dir, tiny_clip_dir, tmp_path):
    config = TrainingConfig(**SETTINGS.to_dict() | {"gradient_accumulation_steps": 3})
    model = train_prompts(texts_dir, tmp_path / "model", str(tiny_clip_dir), config=config)
    expected = load_file(trained / "model.safetensors")
    torch.testing.assert_close(model.global_embeddings.data, expected["global_embeddings"], atol=2e-3, rtol=2e-3)


def test_kill_and_resume_give_the_same_bit_for_bit(texts_dir, tiny_clip_dir, tmp_path):
    """Killed after the first checkpoint; the resumed run ends where an undisturbed one does."""
    arguments = [texts_dir, "--encoder", tiny_clip_dir, *ARGUMENTS, "--epochs", 12]
    undisturbed = run(*arguments, "--out", tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "wordsight", "train", *map(str, arguments), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while not checkpoints(out) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoints(out) and not (out / "config.json").exists()

    resumed = run(*arguments, "--out", out, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    expected, actual = (load_file(path / "model.safetensors") for path in (tmp_path / "undisturbed", out))
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name
    history = json.loads((out / "training_log.json").read_text())["history"]
    assert [record["epoch"] for record in history] == list(range(1, 13))
    assert not checkpoints(out)


def test_resume_with_other_settings_is_refused(texts_dir, tiny_clip_dir, tmp_path):
    config = TrainingConfig(**SETTINGS.to_dict() | {"epochs": 1})
    out = tmp_path / "model"
    train_prompts(texts_dir, out, str(tiny_clip_dir), config=config)
    (out / "checkpoint-1").mkdir()
    state = {"epoch": 1, "history": [], "settings": {"training": {}, "categories": []}}
    (out / "checkpoint-1" / "trainer_state.json").write_text(json.dumps(state))
    with pytest.raises(InvalidInputError, match=r"checkpoint-1 is of a run with other settings.*without --resume"):
        train_prompts(texts_dir, out, str(tiny_clip_dir), config=config, resume=True)


def test_full_disk(texts_dir, tiny_clip_dir, tmp_path):
    """The operating system refuses to let files grow, as a full disk does; with room again, --resume goes on."""
    limit = 8000  # less than a checkpoint
    arguments = [texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model", *ARGUMENTS]
    full = run(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert full.returncode == 1
    message = full.stderr.strip().splitlines()[-1]
    assert message.startswith("Error: ") and "checkpoint-1 can't be written" in message and "--resume" in message
    again = run(*arguments, "--resume")
    assert again.returncode == 0, again.stderr


def test_half_precision(trained, texts_dir, tiny_clip_dir, tmp_path):
    """In a process of its own: accelerate keeps the precision that a process began with."""
    arguments = [texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model", *ARGUMENTS]
    result = run(*arguments, "--mixed-precision", "bf16")
    assert result.returncode == 0, result.stderr
    history = json.loads((tmp_path / "model" / "training_log.json").read_text())["history"]
    expected = json.loads((trained / "training_log.json").read_text())["history"]
    assert history[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.1)
    assert all(tensor.dtype == torch.float32 for tensor in load_file(tmp_path / "model" / "model.safetensors").values())


def test_another_precision_in_the_same_process_says_so(texts_dir, tiny_clip_dir, tmp_path):
    train_prompts(texts_dir, tmp_path / "a", str(tiny_clip_dir), config=SETTINGS)
    config = TrainingConfig(**SETTINGS.to_dict() | {"mixed_precision": "bf16"})
    with pytest.raises(InvalidInputError, match=r"mixed_precision='bf16' can't be had here.*restart"):
        train_prompts(texts_dir, tmp_path / "b", str(tiny_clip_dir), config=config)


def test_fewer_processes_than_asked_for_warn(texts_dir, tiny_clip_dir, tmp_path):
    """accelerate's own launcher starts one process on a CPU, whatever was asked for."""
    launcher = (
        "accelerate.commands.accelerate_cli",
        "launch",
        "--cpu",
        "--num_processes",
        "2",
        "-m",
        "wordsight",
        "train",
    )
    result = run(texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "m", *ARGUMENTS, launcher=launcher)
    assert result.returncode == 0, result.stderr
    assert "2 processes were asked for, 1 is running" in result.stderr
    assert "torchrun --nproc_per_node 2" in result.stderr


def test_tensorboard(texts_dir, tiny_clip_dir, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_prompts(texts_dir, tmp_path, str(tiny_clip_dir), config=SETTINGS, report_to="tensorboard")
    (events,) = (path.parent for path in tmp_path.rglob("events.out.tfevents.*") if path.parent.name == "wordsight")
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    assert len(accumulator.Scalars("validation_map")) == 4


def test_users_groups_and_token_counts(texts_dir, tiny_clip_dir, tmp_path):
    groups = {"attribute_groups": [["cat", "cup"], ["dog", "car"]]}
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    config = TrainingConfig(**SETTINGS.to_dict() | {"epochs": 1})
    model = train_prompts(
        texts_dir,
        tmp_path / "m",
        str(tiny_clip_dir),
        config=config,
        tokens=(0, 3, 0, 1),
        groups=tmp_path / "groups.json",
    )
    assert model.config.attribute_groups == groups["attribute_groups"]
    assert set(model.prompts.global_branch.levels) == {"attribute", "category"}
    (tmp_path / "groups.json").write_text(json.dumps({"attribute_groups": [["cat", "cow"], ["dog", "car"]]}))
    with pytest.raises(InvalidInputError, match=r"attribute_groups.*'cow'"):
        train_prompts(texts_dir, tmp_path / "m", str(tiny_clip_dir), config=config, groups=tmp_path / "groups.json")


def test_folder_without_sentences(tmp_path, tiny_clip_dir):
    with pytest.raises(InvalidInputError, match=r"not a folder of sentences.*wordsight describe"):
        train_prompts(tmp_path, tmp_path / "model", str(tiny_clip_dir))


def test_no_usable_sentence(tmp_path, tiny_clip_dir):
    write_texts(tmp_path / "texts", sentences=["Nothing of interest here.", "Nor here."])
    with pytest.raises(InvalidInputError, match="no two sentences that mention a category"):
        train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir))


def test_category_without_sentence_is_named_and_training_goes_on(tmp_path, tiny_clip_dir):
    write_texts(tmp_path / "texts", sentences=["A cat and a dog.", "A dog sleeps.", "A car with a dog.", "Cats!"] * 3)
    config = TrainingConfig(**SETTINGS.to_dict() | {"epochs": 1})
    with pytest.warns(UserWarning, match="No sentence mentions cup"):
        model = train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir), config=config)
    assert model.config.category_names == ["cat", "dog", "car", "cup"]


def test_category_of_too_many_tokens(tmp_path, tiny_clip_dir):
    from wordsight.description_gen import Category

    long = Category("extraordinarily-long-name-of-a-thing-that-nobody-ever-saw-in-any-photo-anywhere-on-earth")
    write_texts(tmp_path / "texts", [*CATEGORIES, long], ["A cat and a dog."] * 4)
    with pytest.raises(InvalidInputError, match=r"extraordinarily-long.*fewer prompt tokens"):
        train_prompts(tmp_path / "texts", tmp_path / "model", str(tiny_clip_dir), config=SETTINGS)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("noise", -1.0), ("validation_share", 1.0), ("mixed_precision", "fp8")]
)
def test_invalid_settings_name_themselves(name, value):
    with pytest.raises(InvalidInputError, match=f"{name} can't be {value!r}"):
        TrainingConfig(**{name: value})


def test_noise_depends_on_the_sentence_alone():
    features = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1)
    tokens, lengths = torch.nn.functional.normalize(torch.randn(9, 8), dim=-1), torch.tensor([2, 4, 3])
    together = add_noise((features, tokens, lengths), np.array([5, 6, 7]), 2.0, seed=0, epoch=1)
    alone = add_noise((features[1:2], tokens[2:6], lengths[1:2]), np.array([6]), 2.0, seed=0, epoch=1)
    torch.testing.assert_close(alone[0][0], together[0][1])
    torch.testing.assert_close(alone[1], together[1][2:6])
    torch.testing.assert_close(together[0].norm(dim=-1), torch.ones(3))
    other_epoch = add_noise((features, tokens, lengths), np.array([5, 6, 7]), 2.0, seed=0, epoch=2)
    assert not torch.allclose(other_epoch[0], together[0])


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


def test_defaults_go_by_the_family_of_the_encoder(imagenet_encoder_dir, tiny_clip_dir):
    offline, clip = TrainingConfig.for_encoder("imagenet"), TrainingConfig.for_encoder("openai/clip-vit-base-patch16")
    assert offline != clip
    assert TrainingConfig.for_encoder(str(imagenet_encoder_dir)) == offline
    assert TrainingConfig.for_encoder(str(tiny_clip_dir)) == clip
    assert TrainingConfig.for_encoder("imagenet", noise=1.0, seed=None).noise == 1.0
