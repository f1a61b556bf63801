"""A Space: what is pushed, and that its files run where wordsight is not installed."""

import ast
import os
import subprocess
import time
from importlib.metadata import version

import pytest
from gradio_client import Client, handle_file
from huggingface_hub import HfApi, RepoCard, snapshot_download
from packaging.requirements import Requirement
from PIL import Image
from transformers import pipeline

from tests.fixtures.app import free_port
from tests.fixtures.bare import make_bare_python
from tests.fixtures.process import wordsight
from tests.fixtures.published import ENCODER
from tests.hub.test_push import TASK
from wordsight.hub import Destination, HubError, push_space
from wordsight.hub.space import app_source
from wordsight.utils.errors import InvalidInputError

SPACE = "alice/pets-space"


@pytest.fixture(scope="module")
def space(published, tmp_path_factory):
    """The Space's files, as the Hub's machines get them."""
    from tests.conftest import HUB

    push_space(published.repo_id, Destination(SPACE, token=HUB.tokens["write"]))
    folder = tmp_path_factory.mktemp("space")
    snapshot_download(SPACE, repo_type="space", local_dir=folder)
    return folder


def test_source_is_self_contained():
    for node in ast.walk(ast.parse(app_source("alice/pets", "0" * 40))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and not node.module.startswith("wordsight")
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("wordsight") for alias in node.names)


def test_files_and_card(space, published):
    card = RepoCard.load(space / "README.md")
    assert card.data.sdk == "gradio" and card.data.sdk_version == version("gradio")
    assert card.data.app_file == "app.py" and (space / "app.py").is_file()
    assert card.data.models == [published.repo_id] and published.repo_id in card.text
    assert {path.stem for path in (space / "examples").iterdir()} == {"astronaut", "chelsea", "coffee", "rocket"}
    names = {Requirement(line).name for line in (space / "requirements.txt").read_text().splitlines()}
    assert {"gradio", "torch", "transformers", "pillow"} <= names
    assert not {"wordsight", "vllm", "datasets"} & names


def test_space_runs_without_wordsight(space, published, photo_path, tmp_path):
    lines = (space / "requirements.txt").read_text().splitlines()
    python = make_bare_python(tmp_path / "venv", [Requirement(line).name for line in lines])
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "HF_ENDPOINT", "HF_HUB_DISABLE_XET")}
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "GRADIO_SERVER_PORT": str(port)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([python, "app.py"], cwd=space, env=kept | home, stdout=log, stderr=log)
    try:
        client = wait_for(f"http://127.0.0.1:{port}", process, tmp_path / "log")
        found = client.predict(handle_file(photo_path), 0.0, 3, api_name="/label")
        assert found == pipeline(TASK, model=str(published.folder))(str(photo_path), top_k=3)
        lit = client.predict(handle_file(photo_path), found[0]["label"], api_name="/heatmap")
        assert Image.open(lit).size == Image.open(photo_path).size
    finally:
        process.terminate()
        process.wait()


def wait_for(address, process, log):
    """A client of an app that is starting."""
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            return Client(address, verbose=False)
        except Exception:  # whatever a client says of a server that is not there yet
            time.sleep(0.25)
    raise AssertionError(log.read_text())


def test_card_keeps_what_was_edited_on_the_hub(published, hub):
    api, to = HfApi(token=hub.tokens["write"]), Destination("alice/edited-space", token=hub.tokens["write"])
    push_space(published.repo_id, to)
    card = RepoCard.load(to.repo_id, repo_type="space")
    edited = str(card).replace("colorFrom: indigo", "colorFrom: green") + "\nAsk Alice.\n"
    api.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id=to.repo_id, repo_type="space")
    push_space(published.repo_id, to)
    card = RepoCard.load(to.repo_id, repo_type="space")
    assert card.data.colorFrom == "green" and "Ask Alice." in card.text


def test_command(published, hub, tmp_path):
    environment = os.environ | {"HF_TOKEN": hub.tokens["write"]}
    result = wordsight("push", published.repo_id, "--space", "alice/by-command", env=environment)
    assert result.returncode == 0 and "spaces/alice/by-command" in result.stdout
    assert "app.py" in HfApi().list_repo_files("alice/by-command", repo_type="space")
    result = wordsight("push", published.repo_id, "--space", "alice/by-command", "--revision", "v2", env=environment)
    assert result.returncode == 1 and "omit --revision" in result.stderr
    result = wordsight("push", published.folder, "--space", "alice/by-command", env=environment)
    assert result.returncode == 1 and "wordsight push" in result.stderr and len(result.stderr.splitlines()) == 1


def test_no_such_model(published, hub):
    with pytest.raises(HubError, match="alice/nothing"):
        push_space("alice/nothing", Destination("alice/no-space", token=hub.tokens["write"]))
    with pytest.raises(InvalidInputError, match=f"{ENCODER} is not a wordsight model"):
        push_space(ENCODER, Destination("alice/no-space", token=hub.tokens["write"]))
    assert not HfApi().repo_exists("alice/no-space", repo_type="space")
