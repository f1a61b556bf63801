"""`wordsight env`: here, and where something breaks something else."""

import os
import subprocess
import sys

from wordsight.cli import env as env_module
from wordsight.cli.env import _conflicts, _part

SECRET = "hf_VerySecretToken0123456789"


def test_here(hub):
    command = [sys.executable, "-m", "wordsight", "env"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"HF_TOKEN": SECRET})
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert "- [train]: ok, installed (for train, calibrate, evaluate, groups)" in lines
    assert f"- Hub: ok, {hub.endpoint} answers (for encoders and models by Hub id, push)" in lines
    assert "- Hub token: ok, there (for push, private models)" in lines
    assert any(line.startswith("- `transformers` version: ") for line in lines)
    assert SECRET not in result.stdout + result.stderr


def test_what_is_missing_comes_with_a_remedy():
    finding = _part("pets", ("torch", "no_such_module"), "train", "pip install pets")
    assert finding == ("pets", "missing", "without no_such_module", "train", "pip install pets")
    assert _part("pets", ("no_such_module",), "train", "pip install pets", built=True).state == "ok"


def test_packages_that_break_others(monkeypatch):
    installed = {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "torchaudio": "2.13.0+cpu"}
    monkeypatch.setattr(env_module, "_version", installed.get)
    (finding,) = _conflicts()
    assert finding.name == "torchvision" and finding.state == "problem"
    assert finding.remedy == "pip uninstall -y torchvision"
    monkeypatch.setattr(env_module, "_version", {"timm": "1.0.20"}.get)
    assert [finding.remedy for finding in _conflicts()] == ["pip uninstall -y timm"]
