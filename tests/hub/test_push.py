"""Push and pull over real HTTP: what goes there, what comes back, and what a user sees when something goes wrong."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from tenacity import wait_none
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    ImageClassificationPipeline,
    pipeline,
)

from tests.fixtures.hub.faults import Fault
from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight
from tests.fixtures.published import ENCODER, run_elsewhere
from tests.fixtures.texts import write_texts
from wordsight import WordsightConfig, WordsightForMultiLabelImageClassification, export_onnx, load_pipeline
from wordsight.description_gen import read_categories
from wordsight.description_gen.dataset import published_as
from wordsight.hub import Destination, HubError, push_checkpoint, push_texts, upload
from wordsight.modeling.training.arguments import PromptTrainingArguments
from wordsight.modeling.training.train import train_prompts
from wordsight.utils.errors import InvalidInputError

TASK = "multi-label-image-classification"
LABEL = f"""
import json, sys, wordsight
from transformers import pipeline
classifier = pipeline("{TASK}", model=sys.argv[1])
print(json.dumps(classifier(sys.argv[2])))
"""


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def api(hub):
    return HfApi(token=hub.tokens["write"])


@pytest.fixture
def to(hub, request):
    """A repository that is not there yet."""
    name = re.sub(r"\W+", "-", request.node.name)[:80].strip("-")
    return Destination(f"alice/{name}", token=hub.tokens["write"])


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(upload, "WAIT", wait_none())


@pytest.fixture(scope="module")
def expected(published, photo_path):
    return pipeline(TASK, model=str(published.folder))(str(photo_path))


def test_what_is_pushed(published, api):
    files = set(api.list_repo_files(published.repo_id))
    assert files == {
        ".gitattributes",
        "README.md",
        "categories.png",
        "config.json",
        "configuration_wordsight.py",
        "knowledge.json",
        "model.safetensors",
        "modeling_wordsight.py",
        "pipeline_wordsight.py",
        "preprocessor_config.json",
        "training_curve.png",
        "training_log.json",
    }
    assert len(api.list_repo_commits(published.repo_id)) == 2, "the initial one, and one for all of it"
    config = WordsightConfig.from_pretrained(published.folder)
    assert config.encoder_revision == api.model_info(ENCODER).sha, "prompts fit one state of the encoder"


def test_graphs_go_along_and_old_ones_are_removed(published, to, api, photo_path, expected, tmp_path):
    folder = tmp_path / "pets"
    shutil.copytree(published.folder, folder)
    export_onnx(str(folder))
    push_checkpoint(folder, to)
    found = load_pipeline(to.repo_id, backend="onnx")(str(photo_path))
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    assert [e["score"] for e in found] == pytest.approx([e["score"] for e in expected], abs=1e-4)
    shutil.rmtree(folder / "onnx")
    push_checkpoint(folder, to)
    assert "onnx/model.onnx" not in api.list_repo_files(to.repo_id)


def test_fresh_process_and_cache_give_the_same_scores(published, photo_path, expected, tmp_path):
    result = run_elsewhere(sys.executable, LABEL, tmp_path, published.repo_id, photo_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == expected
    offline = run_elsewhere(sys.executable, LABEL, tmp_path, published.repo_id, photo_path, HF_HUB_OFFLINE="1")
    assert json.loads(offline.stdout) == expected


def test_loading_arguments(published, hub, photo_path, expected, tmp_path):
    assert isinstance(AutoConfig.from_pretrained(published.repo_id), WordsightConfig)
    online = AutoModel.from_pretrained(published.repo_id, cache_dir=tmp_path, token=hub.tokens["read"])
    assert {path.name for path in tmp_path.glob("models--*")} == {"models--alice--pets", "models--alice--tiny-clip"}
    count = len(hub.requests)
    local = AutoModelForImageClassification.from_pretrained(
        published.repo_id, cache_dir=tmp_path, local_files_only=True
    )
    assert len(hub.requests) == count, "local_files_only asked the Hub"
    assert torch.equal(online.global_embeddings, local.global_embeddings)
    half = AutoModel.from_pretrained(published.repo_id, dtype=torch.bfloat16, device_map="auto")
    assert half.dtype == half.image_encoder.model.dtype == torch.bfloat16
    classifier = pipeline(
        TASK, model=published.repo_id, dtype=torch.float32, device_map="cpu", token=hub.tokens["read"]
    )
    assert classifier(str(photo_path)) == expected


@pytest.mark.parametrize("trust", [None, True])
def test_where_wordsight_is_installed_its_own_code_is_used(published, photo_path, expected, trust):
    classifier = pipeline(TASK, model=published.repo_id, trust_remote_code=trust)
    assert type(classifier).__module__ == "wordsight.pipelines.multi_label_image_classification"
    assert type(classifier.model) is WordsightForMultiLabelImageClassification
    assert classifier(str(photo_path)) == expected
    # Without a task, transformers takes that of the card.
    classifier = pipeline(model=published.repo_id, trust_remote_code=trust)
    assert type(classifier) is ImageClassificationPipeline
    assert type(classifier.model) is WordsightForMultiLabelImageClassification
    assert classifier(str(photo_path), top_k=len(expected)) == expected


def test_model_in_memory_is_pushed_with_the_files_it_came_with(published, api, hub, to):
    model = WordsightForMultiLabelImageClassification.from_pretrained(published.repo_id)
    with torch.no_grad():
        model.global_embeddings.copy_(torch.nn.functional.normalize(-model.global_embeddings, dim=-1))
    commit = model.push_to_hub(to.repo_id, token=hub.tokens["write"], commit_message="Turned", tags=["turned"])
    assert api.list_repo_commits(to.repo_id)[0].title == "Turned" and commit.repo_url.repo_id == to.repo_id
    assert set(api.list_repo_files(to.repo_id)) == set(api.list_repo_files(published.repo_id))
    pulled = WordsightForMultiLabelImageClassification.from_pretrained(to.repo_id)
    assert torch.equal(pulled.global_embeddings, model.global_embeddings)
    assert "turned" in ModelCard.load(to.repo_id).data.tags
    classifier = pipeline(TASK, model=str(published.folder))
    assert classifier.push_to_hub(f"{to.repo_id}-2", token=hub.tokens["write"]).repo_url.repo_id == f"{to.repo_id}-2"


def test_save_pretrained_can_push(published, api, to, tmp_path):
    model = WordsightForMultiLabelImageClassification.from_pretrained(published.folder)
    model.save_pretrained(tmp_path / "here", push_to_hub=True, repo_id=to.repo_id, token=to.token, private=True)
    assert (tmp_path / "here" / "model.safetensors").exists() and api.model_info(to.repo_id).private


def test_branches_and_pull_requests(published, api, hub, to, photo_path, expected):
    folder = published.folder
    push_checkpoint(folder, Destination(to.repo_id, token=to.token, revision="trial"))
    assert api.list_repo_files(to.repo_id) == [".gitattributes"]
    assert pipeline(TASK, model=to.repo_id, revision="trial")(str(photo_path)) == expected
    stranger = Destination(to.repo_id, token=hub.tokens["other"], create_pr=True)
    commit = push_checkpoint(folder, stranger)
    result = wordsight("push", folder, to.repo_id, "--create-pr", env=cli_environment(hub, "other"))
    assert "/discussions/2" in result.stdout and 'revision="refs/pr/2"' in result.stdout, result.stderr
    assert commit.pr_url.endswith(f"{to.repo_id}/discussions/1")
    assert pipeline(TASK, model=to.repo_id, revision="refs/pr/1")(str(photo_path)) == expected
    api.merge_pull_request(to.repo_id, 1)
    assert pipeline(TASK, model=to.repo_id)(str(photo_path)) == expected
    old = api.list_repo_commits(to.repo_id)[-1].commit_id
    with pytest.raises(ValueError, match="Unrecognized model"):
        AutoConfig.from_pretrained(to.repo_id, revision=old)


def test_private_repository(published, hub, to, photo_path, tmp_path):
    push_checkpoint(published.folder, Destination(to.repo_id, private=True, token=to.token))
    AutoConfig.from_pretrained(to.repo_id, token=hub.tokens["read"], cache_dir=tmp_path)
    with pytest.raises(OSError, match="private repository"):
        AutoConfig.from_pretrained(to.repo_id, cache_dir=tmp_path / "other")
    result = wordsight("predict", to.repo_id, photo_path)
    assert result.returncode == 1 and result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"Error: The model '{to.repo_id}' can't be loaded") and "HF_TOKEN" in last


def test_twenty_categories_are_under_a_megabyte(hub, to, tmp_path):
    categories = read_categories(Path(str(files("wordsight") / "data" / "demo_categories.txt")))
    names = [category.name for category in categories]
    sentences = [f"A {a} and a {b} in a room." for a, b in zip(names, names[1:] + names[:1], strict=True)] * 2
    texts = write_texts(tmp_path / "texts", categories, sentences)
    args = PromptTrainingArguments(str(tmp_path / "model"), num_train_epochs=1)
    train_prompts(texts, tmp_path / "model", "imagenet", args=args)
    hub.requests.clear()
    push_checkpoint(tmp_path / "model", to)
    assert len(names) == 20 and 100_000 < hub.uploaded_bytes() < 1_000_000


def test_a_second_push_of_the_same_is_no_commit(published, api, to):
    first = push_checkpoint(published.folder, to)
    assert push_checkpoint(published.folder, to).oid == first.oid


def test_texts_and_the_model_that_links_them(api, hub, tmp_path, texts_dir):
    texts = tmp_path / "texts"
    shutil.copytree(texts_dir, texts)
    result = wordsight("push-texts", texts, "alice/pet-texts", "--private", env=cli_environment(hub))
    assert result.returncode == 0, result.stderr
    assert 'load_dataset("alice/pet-texts", split="train")' in result.stdout
    loaded = load_dataset("alice/pet-texts", split="train", token=hub.tokens["write"], cache_dir=str(tmp_path / "c"))
    assert loaded.num_rows == 72 and set(loaded.column_names) >= {"text", "labels"}
    assert set(api.list_repo_files("alice/pet-texts", repo_type="dataset")) == {
        ".gitattributes",
        "README.md",
        "co_occurrence.png",
        "data/train-00000-of-00001.parquet",
        "groups.png",
        "knowledge.json",
    }
    assert published_as(texts) == {"dataset": "alice/pet-texts"}
    args = PromptTrainingArguments(str(tmp_path / "model"), num_train_epochs=1)
    train_prompts(texts, tmp_path / "model", ENCODER, args=args)
    result = wordsight("push", tmp_path / "model", "alice/linked", "--license", "mit", env=cli_environment(hub))
    assert result.returncode == 0, result.stderr
    card = ModelCard.load("alice/linked")
    assert card.data.datasets == ["alice/pet-texts"] and "https://huggingface.co/datasets/alice/pet-texts" in card.text
    assert card.data.license == "mit"
    again = push_texts(texts, Destination("alice/pet-texts", token=hub.tokens["write"]))
    assert (
        again.oid == api.dataset_info("alice/pet-texts").sha
        and len(api.list_repo_commits("alice/pet-texts", repo_type="dataset")) == 2
    )


def cli_environment(hub, token="write"):
    return os.environ | {"HF_TOKEN": hub.tokens.get(token, token)}


def test_command_line_shows_no_token(published, hub, to, tmp_path):
    result = wordsight("push", published.folder, to.repo_id, env=cli_environment(hub))
    assert result.returncode == 0, result.stderr
    assert f"/{to.repo_id}/commit/" in result.stdout
    refused = wordsight("push", published.folder, to.repo_id, env=cli_environment(hub, "hf_forged"))
    assert refused.returncode == 1
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("Error:")]
    assert "does not accept the token" in line and "hf auth login" in line
    logged_in = tmp_path / "token"  # where `hf auth login` puts it
    logged_in.write_text(hub.tokens["write"])
    command = [sys.executable, "-m", "wordsight", "push", published.folder, to.repo_id]
    variables = os.environ | {"HF_TOKEN_PATH": str(logged_in)}
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, env=variables)
    assert again.returncode == 0, again.stderr
    assert not any(hub.tokens["write"].encode() in path.read_bytes() for path in published.folder.iterdir())
    shown = result.stdout + result.stderr + again.stdout + again.stderr + refused.stdout + refused.stderr
    assert hub.tokens["write"] not in shown and "hf_forged" not in shown


# --- what goes wrong


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_forged", "does not accept the token"),
        (False, "needs a token"),
        ("read", "no permission to write to alice/.*settings/tokens"),
        ("other", "no permission to write to alice/.*--create-pr"),
    ],
    ids=["forged", "none", "read-only", "stranger"],
)
def test_refused(published, hub, to, api, token, message):
    before = digests(published.folder)
    api.create_repo(to.repo_id)
    hub.requests.clear()
    with pytest.raises(HubError, match=message) as raised:
        push_checkpoint(published.folder, Destination(to.repo_id, token=hub.tokens.get(token, token)))
    assert raised.value.retry_is_safe
    assert not any(secret in str(raised.value) for secret in ["hf_forged", *hub.tokens.values()])
    posts = [record.path for record in hub.requests if record.method in ("POST", "PUT")]
    assert len(posts) == len(set(posts)), "a refusal is not tried again"
    assert digests(published.folder) == before
    assert api.list_repo_files(to.repo_id) == [".gitattributes"]


def test_wrong_names(published, to, at_once):
    with pytest.raises(InvalidInputError, match="'a b' is not a valid repository name"):
        push_checkpoint(published.folder, Destination("a b", token=to.token))
    with pytest.raises(HubError, match="no such revision"):
        push_checkpoint(published.folder, Destination(to.repo_id, token=to.token, revision="refs/pr/9"))
    with pytest.raises(InvalidInputError, match=r"is not a complete model \(config.json"):
        push_checkpoint(published.folder.parent, to)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "/repos/create", status=502),
        Fault("POST", "/commit/", status=503),
        Fault("POST", "/commit/", times=2, status=500),
        Fault("POST", "/commit/", cut="before"),
        Fault("POST", "/commit/", cut="after"),  # it landed: there must not be a second one
        Fault("PUT", "/lfs/", cut="before"),
        Fault("GET", "/api/models/", status=504),
    ],
    ids=lambda fault: f"{fault.path}-{fault.status or fault.cut}".strip("/"),
)
def test_passing_faults_are_overcome_with_one_commit(published, hub, to, api, at_once, fault):
    picture = (published.folder / "training_curve.png").read_bytes()
    del hub.storage.objects[hashlib.sha256(picture).hexdigest()]  # else other tests' upload would do for this one
    hub.faults.append(fault)
    push_checkpoint(published.folder, to)
    assert fault.times == 0
    assert len(api.list_repo_commits(to.repo_id)) == 2


@pytest.mark.parametrize("cut", [None, "before"])
def test_lasting_faults_publish_nothing(published, hub, to, api, at_once, cut):
    before = digests(published.folder)
    hub.faults.append(Fault("POST", "/commit/", times=None, status=None if cut else 500, cut=cut))
    with pytest.raises(HubError, match=r"Nothing is half-published.*safe to run the same command again") as raised:
        push_checkpoint(published.folder, to)
    assert raised.value.retry_is_safe
    hub.faults.clear()
    assert api.list_repo_files(to.repo_id) == [".gitattributes"]
    assert digests(published.folder) == before
    push_checkpoint(published.folder, to)
    assert len(api.list_repo_commits(to.repo_id)) == 2


@pytest.mark.parametrize(("method", "path"), [("POST", "/commit/"), ("GET", "/api/models/"), ("POST", "/preupload/")])
def test_a_hub_that_hangs(published, hub, to, at_once, monkeypatch, method, path):
    monkeypatch.setattr(upload, "REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr(upload, "TRIES", 1)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)  # the client's own waits
    hub.faults.append(Fault(method, path, times=None, delay=1.0, cut="before"))
    with pytest.raises(HubError, match="did not answer in time"):
        push_checkpoint(published.folder, to)


def test_a_pull_request_is_not_opened_twice(published, hub, to, api, at_once):
    api.create_repo(to.repo_id)
    hub.faults.append(Fault("POST", "/commit/", cut="after"))
    with pytest.raises(HubError, match="may have been opened nevertheless") as raised:
        push_checkpoint(published.folder, Destination(to.repo_id, token=to.token, create_pr=True))
    assert not raised.value.retry_is_safe
    assert len(list(api.get_repo_discussions(to.repo_id))) == 1


def test_a_pull_request_survives_what_comes_before_its_commit(published, hub, to, api, at_once):
    api.create_repo(to.repo_id)
    hub.faults.append(Fault("GET", "/api/models/", status=503))
    push_checkpoint(published.folder, Destination(to.repo_id, token=to.token, create_pr=True))
    hub.faults.append(Fault("GET", "/api/models/", status=503, times=None))
    with pytest.raises(HubError, match="Nothing is half-published") as raised:
        push_checkpoint(published.folder, Destination(to.repo_id, token=to.token, create_pr=True))
    hub.faults.clear()
    assert raised.value.retry_is_safe and len(list(api.get_repo_discussions(to.repo_id))) == 1


def test_somebody_else_was_faster(published, hub, to, api):
    hub.faults.append(Fault("POST", "/commit/", status=412))
    with pytest.raises(HubError, match=r"changed by somebody else at the same time.*safe"):
        push_checkpoint(published.folder, to)


def test_the_card_is_not_accepted(published, to, api, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(published.folder, folder)
    card = folder / "README.md"
    card.write_text(card.read_text().replace("library_name: ", "license: my-own\nlibrary_name: "))
    with pytest.raises(InvalidInputError, match=r"does not accept the card: .*license.*Correct README.md"):
        push_checkpoint(folder, to)
    card.write_text("---\n{[\n---\n")
    with pytest.raises(InvalidInputError, match="not valid YAML"):
        push_checkpoint(folder, to)
    card.write_bytes("Gr\u00fc\u00dfe".encode("latin-1"))
    with pytest.raises(InvalidInputError, match=r"README.md is not UTF-8 text"):
        push_checkpoint(folder, to)


def test_encoder_of_this_machine(published, tiny_clip_dir, to, tmp_path, photo_path, expected):
    folder = tmp_path / "model"
    shutil.copytree(published.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder": str(tiny_clip_dir), "encoder_revision": None}))
    with pytest.raises(InvalidInputError, match=r"encoder is a folder on this machine.*--encoder user/encoder"):
        push_checkpoint(folder, to)
    push_checkpoint(folder, to, encoder=ENCODER)
    pulled = pipeline(TASK, model=to.repo_id)
    assert pulled.model.config.encoder == ENCODER and pulled(str(photo_path)) == expected


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("alice/typo", HubError, "alice/typo does not exist"),
        ("~/clip", InvalidInputError, "not a valid repository name"),
        ("a/b/c", InvalidInputError, "not a valid repository name"),
    ],
)
def test_encoder_that_is_not_there(published, to, api, name, error, message):
    with pytest.raises(error, match=message):
        push_checkpoint(published.folder, to, encoder=name)
    assert not api.repo_exists(to.repo_id)


def test_model_without_its_encoder_or_its_folder(published, api, to, tmp_path, monkeypatch):
    model = WordsightForMultiLabelImageClassification.from_pretrained(published.repo_id, image_encoder=False)
    model.push_to_hub(to.repo_id, token=to.token)
    assert set(api.list_repo_files(to.repo_id)) == set(api.list_repo_files(published.repo_id))
    shutil.copytree(published.folder, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    model = WordsightForMultiLabelImageClassification.from_pretrained("model")
    monkeypatch.chdir("/")
    model.push_to_hub(f"{to.repo_id}-2", token=to.token)
    assert set(api.list_repo_files(f"{to.repo_id}-2")) == set(api.list_repo_files(published.repo_id))


def test_files_that_can_not_be_read_are_not_taken_for_absent(published, hub, to, api, at_once, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)  # the client's own waits
    push_checkpoint(published.folder, to)
    text = (ModelCard.load(to.repo_id).content + "\nWritten on the Hub.\n").encode()
    api.create_commit(to.repo_id, [CommitOperationAdd("README.md", text)], commit_message="By hand")
    model = WordsightForMultiLabelImageClassification.from_pretrained(published.repo_id)
    for status, path in ((403, "README.md"), (503, "README.md"), (503, "knowledge.json")):
        hub.faults.append(Fault("HEAD", path, times=None, status=status))
        with pytest.raises(HubError):
            if path == "knowledge.json":
                model.push_to_hub(to.repo_id, token=to.token)
            else:
                push_checkpoint(published.folder, to)
        hub.faults.clear()
        assert "Written on the Hub." in ModelCard.load(to.repo_id).text


def test_what_the_folder_does_not_know_of_stays_on_the_hub(published, to, api, tmp_path):
    """Only what tells of another model is removed: figures of other scores, a training log of other prompts."""
    side_files = {"evaluation.json", "categories.png", "knowledge.json", "training_log.json", "training_curve.png"}
    folder = tmp_path / "model"
    shutil.copytree(published.folder, folder)
    (folder / "evaluation.json").write_text(json.dumps({"evaluations": []}))
    push_checkpoint(folder, to)
    assert side_files <= set(api.list_repo_files(to.repo_id))
    bare = tmp_path / "bare"
    model = WordsightForMultiLabelImageClassification.from_pretrained(folder)
    model.save_pretrained(bare)
    push_checkpoint(bare, to)
    assert side_files <= set(api.list_repo_files(to.repo_id)), "it is the same model"
    model.config.score_threshold = [value + 1 for value in model.config.score_threshold]
    model.save_pretrained(bare)
    push_checkpoint(bare, to)
    assert side_files - set(api.list_repo_files(to.repo_id)) == {"evaluation.json", "categories.png"}
    with torch.no_grad():
        next(model.prompts.parameters()).add_(1)
    model.save_pretrained(bare)
    push_checkpoint(bare, to)
    assert not side_files & set(api.list_repo_files(to.repo_id))


@pytest.mark.parametrize("source", ["hub", "folder"])
def test_a_model_that_is_calibrated_elsewhere_keeps_its_files(published, hub, to, api, tmp_path, source):
    """Also where another model was in the folder before: none of its files are taken for this one's."""
    push_checkpoint(published.folder, to)
    before = set(api.list_repo_files(to.repo_id))
    out = tmp_path / "calibrated"
    out.mkdir()
    (out / "knowledge.json").write_text("{}")
    (out / "evaluation.json").write_text(json.dumps({"evaluations": []}))
    model = to.repo_id if source == "hub" else published.folder
    photos = write_photos(tmp_path / "photos", 4)
    result = wordsight("calibrate", model, photos, "--use", "images", "--out", out, env=cli_environment(hub))
    assert result.returncode == 0, result.stderr
    for name in ("knowledge.json", "training_log.json", "training_curve.png"):
        assert (out / name).read_bytes() == (published.folder / name).read_bytes(), name
    assert not (out / "evaluation.json").exists()
    result = wordsight("push", out, to.repo_id, env=cli_environment(hub))
    assert result.returncode == 0, result.stderr
    assert set(api.list_repo_files(to.repo_id)) == before
    assert "`images`" in ModelCard.load(to.repo_id).text


def test_what_was_asked_for_once_stays(published, to, tmp_path):
    push_checkpoint(published.folder, to, license="mit", tags=["zz"], datasets=["alice/pet-texts"])
    push_checkpoint(published.folder, to)
    card = ModelCard.load(to.repo_id)
    assert card.data.license == "mit" and "zz" in card.data.tags and "multi-label" in card.data.tags
    assert card.data.datasets == ["alice/pet-texts"] and "datasets/alice/pet-texts" in card.text
    push_checkpoint(published.folder, to, license="openrail", tags=["yy"])
    data = ModelCard.load(to.repo_id).data
    assert data.license == "openrail" and {"yy", "zz"} <= set(data.tags)
    folder = tmp_path / "model"
    shutil.copytree(published.folder, folder)
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nWritten here.\n")
    push_checkpoint(folder, to)
    card = ModelCard.load(to.repo_id)
    assert "Written here." in card.text and card.data.license == "openrail" and "yy" in card.data.tags


def test_download_that_is_cut_is_taken_up_again(published, hub, photo_path, expected, tmp_path):
    size = Path(published.folder, "model.safetensors").stat().st_size
    hub.faults.append(Fault("GET", "^/lfs/", cut=size // 2))
    model = AutoModel.from_pretrained(published.repo_id, cache_dir=tmp_path)
    assert hub.faults[0].times == 0
    assert torch.equal(model.global_embeddings, AutoModel.from_pretrained(published.folder).global_embeddings)


def test_edits_survive(published, api, to, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(published.folder, folder)
    push_checkpoint(folder, to)

    def edit_on_hub(change):
        text = change(ModelCard.load(to.repo_id).content)
        api.create_commit(to.repo_id, [CommitOperationAdd("README.md", text.encode())], commit_message="By hand")

    edit_on_hub(lambda text: text.replace("pipeline_tag:", "license: mit\npipeline_tag:") + "\nWritten on the Hub.\n")
    log = json.loads((folder / "training_log.json").read_text())
    log["training"]["epochs"] = 77
    (folder / "training_log.json").write_text(json.dumps(log))
    push_checkpoint(folder, to)
    card = ModelCard.load(to.repo_id)
    assert "Written on the Hub." in card.text and card.data.license == "mit"
    assert "| epochs | 77 |" in card.text, "what is generated is renewed"
    local = folder / "README.md"
    local.write_text(local.read_text() + "\nWritten here.\n")
    with pytest.warns(UserWarning, match="edited both here and on the Hub"):
        push_checkpoint(folder, to)
    assert "Written on the Hub." in ModelCard.load(to.repo_id).text
    with warnings.catch_warnings():  # one who has the Hub's card has nothing to put together
        warnings.simplefilter("error", UserWarning)
        WordsightForMultiLabelImageClassification.from_pretrained(to.repo_id).push_to_hub(to.repo_id, token=to.token)
    assert "Written on the Hub." in ModelCard.load(to.repo_id).text
