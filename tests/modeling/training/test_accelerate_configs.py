"""The configurations for accelerate launch: accelerate reads them, and the one for this machine runs."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands import accelerate_cli
from accelerate.commands.config.config_args import load_config_from_file
from typer.testing import CliRunner

from wordsight.cli import app
from wordsight.utils.errors import InvalidInputError

CONFIGS = {"cpu": (1, 1), "gpu-1": (1, 1), "gpu-8": (1, 8), "nodes-2": (2, 16)}


def path_of(name):
    return Path(CliRunner().invoke(app, ["accelerate-config", name]).stdout.strip())


@pytest.mark.parametrize(("name", "sizes"), CONFIGS.items())
def test_accelerate_reads_it(name, sizes):
    config = load_config_from_file(str(path_of(name)))
    assert (config.num_machines, config.num_processes) == sizes
    assert config.use_cpu == (name == "cpu")
    assert str(config.mixed_precision) == ("no" if name == "cpu" else "bf16")
    # Every key is one that accelerate knows: it fails on others.
    assert set(yaml.safe_load(path_of(name).read_text())) <= set(vars(config))


def test_all_are_named():
    assert {path.stem for path in path_of("cpu").parent.glob("*.yaml")} == set(CONFIGS)
    result = CliRunner().invoke(app, ["accelerate-config", "tpu"])
    assert isinstance(result.exception, InvalidInputError)
    assert "there are cpu, gpu-1, gpu-8, nodes-2" in str(result.exception)


def test_training_is_launched_with_it(texts_dir, tiny_clip_dir, tmp_path, monkeypatch):
    """The launcher's precision is the training's."""
    command = ["accelerate", "launch", "--config_file", path_of("cpu"), "--mixed_precision", "bf16"]
    arguments = ["-m", "wordsight", "train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model"]
    monkeypatch.setattr(sys, "argv", [*map(str, command + arguments), "--epochs", "1"])
    accelerate_cli.main()  # raises if the training fails
    log = json.loads((tmp_path / "model" / "training_log.json").read_text())
    assert log["training"]["mixed_precision"] == "bf16"
