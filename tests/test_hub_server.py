"""The tests' own Hub, through the real client: what it says must be what the client takes for a hub's answer."""

from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .hub.faults import Fault

CARD = b"---\nlicense: mit\npipeline_tag: image-classification\ntags: [a]\n---\n\n# A card\n"


@pytest.fixture
def api(hub):
    return HfApi(token=hub.tokens["write"])


@pytest.fixture
def repo(api, request):
    repo_id = api.create_repo(f"alice/{request.node.name.replace('[', '-').replace(']', '')[:60]}").repo_id
    yield repo_id
    api.delete_repo(repo_id)


def push(api, repo, **files):
    operations = [CommitOperationAdd(name.replace("__", "/").replace("_", "."), data) for name, data in files.items()]
    return api.create_commit(repo, operations, commit_message="more")


def test_content_comes_back_regular_and_large(api, repo, tmp_path):
    weights = bytes(range(256)) * 500
    commit = push(api, repo, README_md=CARD, folder__model_safetensors=weights, empty_txt=b"")
    folder = api.snapshot_download(repo, cache_dir=tmp_path)
    assert {p.name for p in tmp_path.glob("models--*/snapshots/*")} == {commit.oid}
    assert Path(folder, "folder/model.safetensors").read_bytes() == weights
    files = {entry.path: entry for entry in api.list_repo_tree(repo, recursive=True) if hasattr(entry, "size")}
    assert files["folder/model.safetensors"].lfs.size == len(weights) and files["README.md"].lfs is None
    info = api.model_info(repo)
    assert info.sha == commit.oid and info.pipeline_tag == "image-classification" and info.card_data.license == "mit"
    assert not info.private


def test_the_same_again_is_no_commit_and_history_is_kept(api, repo, tmp_path):
    first = push(api, repo, a_txt=b"one", b_safetensors=b"x" * 100)
    assert push(api, repo, a_txt=b"one", b_safetensors=b"x" * 100).oid == first.oid
    push(api, repo, a_txt=b"two")
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["more", "more", "initial commit"]
    old = api.hf_hub_download(repo, "a.txt", revision=first.oid, cache_dir=tmp_path)
    assert Path(old).read_bytes() == b"one"
    api.create_commit(repo, [CommitOperationDelete("a.txt")], commit_message="less")
    assert not api.file_exists(repo, "a.txt") and api.file_exists(repo, "b.safetensors")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "a.txt", cache_dir=tmp_path)


def test_branches_tags_and_pull_requests(api, repo):
    api.create_branch(repo, branch="side")
    api.create_branch(repo, branch="side", exist_ok=True)
    api.create_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="nowhere")
    proposal = api.create_commit(
        repo, [CommitOperationAdd("new.txt", b"new")], commit_message="Propose", create_pr=True
    )
    assert proposal.pr_num == 1 and proposal.pr_revision == "refs/pr/1"
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert {ref.name for ref in refs.branches} == {"main", "side"} and [ref.name for ref in refs.tags] == ["v1"]
    assert [ref.ref for ref in refs.pull_requests] == ["refs/pr/1"]
    assert api.file_exists(repo, "new.txt", revision="refs/pr/1") and not api.file_exists(repo, "new.txt")
    api.merge_pull_request(repo, 1)
    assert api.file_exists(repo, "new.txt")
    assert api.get_discussion_details(repo, 1).status == "merged"


def test_a_merge_keeps_what_came_to_the_branch_meanwhile(api, hub, repo):
    push(api, repo, a_txt=b"a", b_txt=b"b")
    stranger = HfApi(token=hub.tokens["other"])
    draft = stranger.create_pull_request(repo, "A draft", description="Why not?")
    assert draft.status == "draft" and draft.git_reference == "refs/pr/1"
    for change in (CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("b.txt")):
        stranger.create_commit(repo, [change], commit_message="change", revision="refs/pr/1")
    push(api, repo, main_txt=b"main")
    api.merge_pull_request(repo, 1)
    assert set(api.list_repo_files(repo)) == {".gitattributes", "a.txt", "main.txt", "new.txt"}
    with pytest.raises(HfHubHTTPError, match="no open pull request"):
        api.merge_pull_request(repo, 1)
    late = api.create_commit(repo, [CommitOperationAdd("a.txt", b"x")], commit_message="late", create_pr=True)
    push(api, repo, a_txt=b"y")
    assert api.get_discussion_details(repo, late.pr_num).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"409|Conflicts"):
        api.merge_pull_request(repo, late.pr_num)
    with pytest.raises(HfHubHTTPError, match="403"):
        stranger.create_commit(
            repo, [CommitOperationAdd("a.txt", b"z")], commit_message="no", revision=late.pr_revision
        )


def test_discussions(api, hub, repo):
    talk = HfApi(token=hub.tokens["other"]).create_discussion(repo, "A question", description="Why?")
    assert not talk.is_pull_request and talk.events[0].content == "Why?"
    assert api.comment_discussion(repo, talk.num, "So.").author == "alice"
    assert api.change_discussion_status(repo, talk.num, "closed").new_status == "closed"
    details = api.get_discussion_details(repo, talk.num)
    assert details.status == "closed" and [event.type for event in details.events] == [
        "comment",
        "comment",
        "status-change",
    ]
    assert [found.num for found in api.get_repo_discussions(repo, discussion_status="closed")] == [talk.num]
    assert not list(api.get_repo_discussions(repo, discussion_type="pull_request"))


def test_refs_and_settings_can_be_changed_back(api, repo):
    api.create_branch(repo, branch="side/way")
    api.create_tag(repo, tag="v1")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(repo, tag="v1")
    api.delete_branch(repo, branch="side/way")
    api.delete_tag(repo, tag="v1")
    refs = api.list_repo_refs(repo)
    assert [ref.name for ref in refs.branches] == ["main"] and not refs.tags
    api.update_repo_settings(repo, private=True)
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=False).model_info(repo)


def test_what_a_repository_says_of_itself(api, repo):
    card = b"---\r\nlicense: gemma\r\nlanguage: en\r\nlibrary_name: transformers\r\ndatasets: [a/b]\r\n---\r\n"
    push(api, repo, README_md=card, w_safetensors=b"w" * 100)
    assert api.model_info(repo).tags == ["transformers", "en", "dataset:a/b", "license:gemma", "region:us"]
    assert {file.size for file in api.model_info(repo).siblings} == {None}
    files = {file.rfilename: file for file in api.model_info(repo, files_metadata=True).siblings}
    assert files["w.safetensors"].size == files["w.safetensors"].lfs.size == 100


def test_what_is_refused_changes_nothing(api, hub, repo):
    head = api.model_info(repo).sha
    for gone in ("none.txt", "none/"):
        with pytest.raises(EntryNotFoundError):
            api.create_commit(repo, [CommitOperationDelete(gone)], commit_message="no")
    for revision in (head, "nowhere"):
        with pytest.raises(HfHubHTTPError):
            api.create_commit(repo, [CommitOperationAdd("a", b"a")], commit_message="no", revision=revision)
    assert api.model_info(repo).sha == head


def test_who_may_what(api, hub, repo):
    secret = api.create_repo(f"{repo}-secret", private=True).repo_id
    assert api.whoami()["name"] == "alice"
    stranger, reader = HfApi(token=hub.tokens["other"]), HfApi(token=hub.tokens["read"])
    nobody, forger = HfApi(token=False), HfApi(token="hf_forged")
    assert reader.model_info(secret).private
    for other, status in ((stranger, 404), (nobody, 401)):
        with pytest.raises(RepositoryNotFoundError) as raised:
            other.model_info(secret)
        assert raised.value.response.status_code == status
    for who, status in ((stranger, 403), (reader, 403), (nobody, 401), (forger, 401)):
        with pytest.raises(HfHubHTTPError) as raised:
            push(who, repo, a_txt=b"no")
        assert raised.value.response.status_code == status
    assert stranger.create_commit(
        repo, [CommitOperationAdd("a.txt", b"please")], commit_message="Ask", create_pr=True
    ).pr_num
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(repo, [CommitOperationAdd("a.txt", b"x")], commit_message="late", parent_commit="0" * 40)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(repo)
    api.delete_repo(secret)


def test_a_cut_download_is_resumed_by_range(api, hub, repo, tmp_path):
    weights = bytes(range(251)) * 48_000  # the client keeps what came in pieces of 10 MiB
    push(api, repo, model_safetensors=weights)
    hub.requests.clear()
    hub.faults.append(Fault("GET", r"^/lfs/", cut=11_000_000))
    path = api.hf_hub_download(repo, "model.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == weights
    downloads = [record for record in hub.requests if record.method == "GET" and record.path.startswith("/lfs/")]
    assert [record.range for record in downloads] == [None, "bytes=10485760-"]
    assert not any(record.authorized for record in downloads), "the token left the Hub's host"


def test_faults_are_real(api, hub, repo):
    hub.faults.append(Fault("POST", "/preupload/", status=503))
    first = push(api, repo, a_txt=b"one")  # the client itself tries again
    hub.faults.append(Fault("POST", "/commit/", cut="before"))
    with pytest.raises(Exception, match="disconnected"):
        push(api, repo, a_txt=b"two")
    assert api.model_info(repo).sha == first.oid
    hub.faults.append(Fault("POST", "/commit/", cut="after"))
    with pytest.raises(Exception, match="disconnected"):
        push(api, repo, a_txt=b"two")
    assert api.model_info(repo).sha != first.oid, "the commit landed, its answer was lost"


def test_metadata_is_checked(api, repo):
    ModelCard(CARD.decode()).validate()
    for bad in ("license: no-such", "tags: 3", "base_model_relation: cousin", "model-index: [{name: x}]"):
        with pytest.raises(ValueError, match="Invalid metadata"):
            push(api, repo, README_md=f"---\n{bad}\n---\n".encode())


def test_datasets(api, tmp_path, hub):
    rows = {"text": ["a", "b"], "labels": [[1, 0], [0, 1]]}
    Dataset.from_dict(rows).push_to_hub("alice/rows", token=hub.tokens["write"], private=True)
    loaded = load_dataset("alice/rows", split="train", token=hub.tokens["write"], cache_dir=str(tmp_path))
    assert loaded.to_dict() == rows
    api.delete_repo("alice/rows", repo_type="dataset")
