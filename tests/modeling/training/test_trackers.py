"""Experiment trackers: each really logs a run, into files on this machine and nowhere else."""

import json
import os
import sqlite3
import struct
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from tests.fixtures.process import wordsight
from wordsight import PromptTrainingArguments
from wordsight.utils.errors import InvalidInputError, MissingDependencyError

EPOCHS = 3
# No tracker may call anybody: what tries has only a closed port to go to.
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
ALONE = PROXIES | {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}


def run(folder, *arguments, **environment):
    environment = os.environ | ALONE | {"WANDB_DIR": str(folder), "TRACKIO_DIR": str(folder)} | environment
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, texts_dir, tiny_clip_dir):
    """A folder with a model that was trained with all three, and their files; and its training log."""
    folder = tmp_path_factory.mktemp("tracked")
    command = ("-m", "wordsight", "train", texts_dir, "--encoder", tiny_clip_dir, "--out", folder / "my-model")
    settings = ("--epochs", EPOCHS, "--seed", 7, "--report-to", "tensorboard,trackio,wandb")
    result = run(folder, *command, *settings, WANDB_PROJECT="pets")
    assert result.returncode == 0, result.stderr
    history = json.loads((folder / "my-model" / "training_log.json").read_text())["history"]
    assert len(history) == EPOCHS
    return folder, history


def curves(history):
    """Names as Trainer reports them -> values by epoch."""
    names = {"train/loss": "loss", "train/learning_rate": "learning_rate", "eval/map": "validation_map"}
    return {name: [record[field] for record in history] for name, field in names.items()}


def wandb_records(path):
    """Records of an offline run, a LevelDB log: blocks of 32 KiB with parts (checksum, length, kind) of records."""
    content, position, record = path.read_bytes(), 7, b""  # a header of 7 bytes
    while position + 7 <= len(content):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


@pytest.mark.slow
def test_tensorboard(tracked):
    folder, history = tracked
    (logs,) = (folder / "my-model" / "runs").iterdir()
    accumulator = EventAccumulator(str(logs)).Reload()
    for name, values in curves(history).items():
        scalars = accumulator.Scalars(name)
        assert [scalar.step for scalar in scalars] == [1, 2, 3]
        assert [scalar.value for scalar in scalars] == pytest.approx(values)
    told = json.loads(accumulator.Tensors("args/text_summary")[0].tensor_proto.string_val[0])
    assert (told["seed"], told["noise"], told["num_train_epochs"]) == (7, 0.3, EPOCHS)


@pytest.mark.slow
def test_trackio(tracked):
    folder, history = tracked
    with sqlite3.connect(folder / "wordsight.db") as database:
        rows = database.execute("SELECT run_name, metrics FROM metrics ORDER BY step").fetchall()
        ((config,),) = database.execute("SELECT config FROM configs")
    database.close()
    assert {name for name, _ in rows} == {"my-model"}
    logged = [json.loads(metrics) for _, metrics in rows]
    for name, values in curves(history).items():
        assert [record[name] for record in logged if name in record] == pytest.approx(values)
    assert json.loads(config)["seed"] == 7 and json.loads(config)["num_train_epochs"] == EPOCHS


@pytest.mark.slow
def test_wandb(tracked):
    folder, history = tracked
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    records = list(wandb_records(path))
    (run,) = (record.run for record in records if record.HasField("run"))
    assert (run.project, run.display_name) == ("pets", "my-model")
    config = {item.key: item.value_json for record in records for item in record.config.update}
    config |= {item.key: item.value_json for item in run.config.update}
    assert config["seed"] == "7" and config["noise"] == "0.3"
    logged = [
        {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    for name, values in curves(history).items():
        assert [record[name] for record in logged if name in record] == pytest.approx(values)


def test_a_tracker_that_does_not_start(texts_dir, tiny_clip_dir, tmp_path):
    """Without a login, wandb does not start: one line says so and what to do."""
    command = ("train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "my-model")
    environment = os.environ | PROXIES | {"WANDB_MODE": "online", "WANDB_DIR": str(tmp_path), "HOME": str(tmp_path)}
    result = wordsight(*command, "--report-to", "wandb", env=environment)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: wandb can't be started: ") and "WANDB_MODE=offline" in line
    assert "Traceback" not in result.stderr


def test_names_of_trackers(tmp_path):
    args = PromptTrainingArguments(str(tmp_path), report_to="wandb, tensorboard,wandb")
    assert args.report_to == ["wandb", "tensorboard"]
    assert PromptTrainingArguments(str(tmp_path)).report_to == []
    assert {"tensorboard", "trackio", "wandb"} <= set(PromptTrainingArguments(str(tmp_path), report_to="all").report_to)
    with pytest.raises(InvalidInputError, match=r"no tracker 'tensorbored'; there are .*tensorboard, trackio"):
        PromptTrainingArguments(str(tmp_path), report_to="wandb,tensorbored")
    with pytest.raises(MissingDependencyError, match="Run `pip install comet-ml`"):
        PromptTrainingArguments(str(tmp_path), report_to="comet_ml")
