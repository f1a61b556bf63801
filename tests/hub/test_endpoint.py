"""`handler.py` for Inference Endpoints, run as huggingface-inference-toolkit does, where wordsight is not installed."""

import base64
import json
import os
from io import BytesIO
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from packaging.requirements import Requirement
from PIL import Image
from transformers import pipeline

from tests.fixtures.process import wordsight
from tests.fixtures.published import run_elsewhere
from tests.hub.test_push import TASK

REPO = "alice/endpoint"
# As `check_and_register_custom_pipeline_from_directory` and `predict` of huggingface-inference-toolkit do.
TOOLKIT = """
import base64, importlib.util, json, sys
from io import BytesIO
from pathlib import Path
from PIL import Image

model_dir, photo = sys.argv[1:]
spec = importlib.util.spec_from_file_location("handler", Path(model_dir) / "handler.py")
sys.path.insert(0, model_dir)
handler = importlib.util.module_from_spec(spec)
sys.modules["handler"] = handler
spec.loader.exec_module(handler)
endpoint = handler.EndpointHandler(model_dir)
content = Path(photo).read_bytes()
text = base64.b64encode(content).decode()
answers = [
    endpoint({"inputs": Image.open(BytesIO(content)).convert("RGB")}),
    endpoint({"inputs": content, "parameters": {"top_k": 2}}),
    endpoint({"inputs": text, "parameters": {"top_k": 2, "threshold": "0.0"}}),
    endpoint({"inputs": [text, text], "parameters": {"top_k": 1, "output_heatmaps": True}}),
    endpoint({"inputs": [], "parameters": {}}),
]
for wrong in ("/etc/passwd", "http://127.0.0.1/photo.jpg", 7, text[:40]):
    try:
        endpoint({"inputs": wrong})
    except ValueError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def folder(published, tmp_path_factory):
    """The repository's files, as an endpoint gets them."""
    from tests.conftest import HUB

    environment = os.environ | {"HF_TOKEN": HUB.tokens["write"]}
    result = wordsight("push", published.folder, REPO, "--endpoint", env=environment)
    assert result.returncode == 0, result.stderr
    return snapshot_download(REPO, local_dir=tmp_path_factory.mktemp("endpoint"))


def test_requirements_are_those_of_the_models_code(folder):
    names = {Requirement(line).name for line in Path(folder, "requirements.txt").read_text().splitlines()}
    assert {"torch", "transformers", "pillow"} <= names
    assert not {"wordsight", "gradio", "datasets", "fastapi"} & names


@pytest.mark.slow
def test_handler_gives_the_pipelines_labels_without_wordsight(folder, published, photo_path, bare_python, tmp_path):
    result = run_elsewhere(bare_python, TOOLKIT, tmp_path, folder, photo_path)
    assert result.returncode == 0, result.stderr
    plain, best, of_text, listed, nothing, *refused = json.loads(result.stdout.splitlines()[-1])
    expected = pipeline(TASK, model=str(published.folder))(str(photo_path), output_heatmaps=True)
    scores = [{key: entry[key] for key in ("label", "score")} for entry in expected]
    assert plain == scores
    assert best == of_text == scores[:2]
    assert [[entry["label"] for entry in labels] for labels in listed] == [[scores[0]["label"]]] * 2
    heatmap = Image.open(BytesIO(base64.b64decode(listed[0][0]["heatmap"])))
    assert heatmap.size == Image.open(photo_path).size and heatmap.tobytes() == expected[0]["heatmap"].tobytes()
    assert nothing == []
    assert len(refused) == 4 and all("can't be read as an image" in each for each in refused)


def test_without_the_option_there_is_no_handler(published):
    there = HfApi().list_repo_files(published.repo_id)
    assert "handler.py" not in there and "requirements.txt" not in there


def test_a_model_that_is_on_the_hub_already_needs_its_folder(published):
    result = wordsight("push", published.repo_id, "--space", "alice/none", "--endpoint")
    assert result.returncode == 1 and "--endpoint, or push its folder" in result.stderr
