"""Photos at addresses: the same names and photos as in a folder of this machine."""

import pickle
import tarfile
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from pyarrow import fs

from tests.fixtures.photos import write_photos
from wordsight.pipelines.image_io import MOST_BYTES
from wordsight.pipelines.image_sources import DamagedFileError, open_images
from wordsight.pipelines.shard_files import RECORD
from wordsight.scale.reading import _content, _part
from wordsight.scale.remote import _fetch, open_source
from wordsight.scale.storage import Folder, without_key
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos at two depths, and the same in two tars and two parquet files."""
    folder = tmp_path_factory.mktemp("remote") / "in a bucket"
    photos = write_photos(folder / "photos" / "deep", 5)
    (photos / "0.jpg").rename(folder / "photos" / "0.jpg")
    contents = [path.read_bytes() for path in sorted(photos.glob("*.jpg"))]
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for path in sorted(photos.glob("*.jpg"))[number::2]:
                tar.add(path, path.name)
        pq.write_table(pa.table({"image": contents[number::2]}), folder / f"{number}.parquet")
    return folder


def read(source, shards, **options):
    """Names and contents of each shard, as its task reads it on another machine."""
    images, count = open_source(source, shards, **options)
    parts = [pickle.loads(pa_cloudpickle().dumps(_part(images, shard))) for shard in range(count)]
    return images.identity, [[(name, *_content(photo)) for name, photo in part.read(0)] for part in parts]


def pa_cloudpickle():
    return pytest.importorskip("ray").cloudpickle


@pytest.mark.parametrize(("inside", "kind"), [("photos", None), ("", "tar"), ("*.tar", None), ("*.parquet", None)])
def test_an_address_gives_what_the_folder_gives(folder, inside, kind):
    address = f"file://{folder}/{inside}".replace(" ", "%20")
    assert read(address, 2, kind=kind) == read(str(folder / inside), 2, kind=kind)
    assert len(read(address, 1, kind=kind)[1][0]) == (5 if inside == "photos" else 4)


def test_what_is_passed_over_and_what_can_t_be_read(folder, tmp_path):
    images, shards = open_source(f"file://{folder}/photos".replace(" ", "%20"))
    assert (images.notes, shards) == (("Passed over: 1 .jsonl.",), 1)
    for address, options, message in [
        (f"file://{tmp_path}/none", {}, "There is no file://"),
        (f"file://{tmp_path}", {}, "should hold photos of one kind; found: none"),
        (f"file://{folder}".replace(" ", "%20"), {}, "found: 2 of kind parquet, 2 of kind tar, 5 of kind photos"),
        (f"file://{folder}/*.tar".replace(" ", "%20"), {"shards": 3}, "it has 2 files. Pass --shards 2"),
        (f"file://{folder}/*.tar".replace(" ", "%20"), {"split": "train"}, "Omit --split"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            open_source(address, **options)
    (tmp_path / "half.tar").write_bytes((folder / "0.tar").read_bytes()[:1000])
    images, _ = open_source(f"file://{tmp_path}/half.tar")
    with pytest.raises(DamagedFileError, match=r"half\.tar can't be read to its end"):
        list(images.read(0))
    photo = tmp_path / "gone.jpg"
    photo.write_bytes(b"")
    images, _ = open_source(f"file://{tmp_path}/gone.jpg", kind="photos")
    photo.unlink()
    ((name, gone),) = images.read(0)
    assert name and _content(gone)[0] is None and "FileNotFoundError" in _content(gone)[1]


def test_a_dataset_on_the_hub_is_read_by_the_tasks(folder, hub):
    from tests.conftest import HUB

    api = HfApi(token=HUB.tokens["write"])
    api.create_repo("alice/for-ray", repo_type="dataset")
    for number in range(2):
        path = f"data/train-{number}.parquet"
        options = {"path_in_repo": path, "repo_id": "alice/for-ray", "repo_type": "dataset"}
        api.upload_file(path_or_fileobj=folder / f"{number}.parquet", **options)
    _, shards = read("alice/for-ray", None, split="train")
    assert [[name for name, *_ in rows] for rows in shards] == [
        ["file-00000-of-00002:0", "file-00000-of-00002:1"],
        ["file-00001-of-00002:0", "file-00001-of-00002:1"],
    ]
    contents = [pq.read_table(folder / f"{number}.parquet")["image"].to_pylist() for number in range(2)]
    assert [[content for _, content, _ in rows] for rows in shards] == contents


def test_tasks_find_photos_by_their_whole_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for source in ("photos", "*.tar"):
        images, _ = open_source(source)
        part = pa_cloudpickle().dumps(_part(images, 0))
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir("/")
            assert all(_content(photo)[0] for _, photo in pickle.loads(part).read(0))


def test_sources_of_this_machine_are_opened_as_ever(folder):
    images, shards = open_source(str(folder / "photos"))
    assert shards == 1 and images.identity == open_images(str(folder / "photos"), 1).identity


def test_globs_of_any_depth_and_labels_of_earlier_runs(folder, tmp_path):
    """As in a folder of this machine."""
    for depth, place in enumerate(("a.jpg", "deep/b.jpg", "deep/er/c.jpg")):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((folder / "photos" / "0.jpg").read_bytes() + bytes(depth))
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / RECORD).write_text("{}")
    pq.write_table(pa.table({"photo": ["a"]}), labels / "part-00000-of-00001.parquet")
    found = {
        pattern: [path.name for path in open_source(f"file://{tmp_path}{pattern}")[0].files]
        for pattern in ("", "/**/*.jpg", "/*/*.jpg", "/*.jpg")
    }
    every = ["a.jpg", "b.jpg", "c.jpg"]
    assert found == {"": every, "/**/*.jpg": every, "/*/*.jpg": ["b.jpg"], "/*.jpg": ["a.jpg"]}


def test_what_is_too_large_or_out_of_reach(tmp_path, folder):
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    images, _ = open_source(f"file://{tmp_path}")
    ((_, photo),) = images.read(0)
    for source in (photo, large):
        content, error = _content(source)
        assert content is None and "larger than 200 MB" in error
    with pytest.raises(InvalidInputError, match="shards must be 1 or more, got 0"):
        open_source(str(folder / "photos"), 0)

    class Away(fs.FileSystem):
        """A file system that does not answer."""

        def __init__(self):
            pass

        def open_input_file(self, path):
            raise OSError("AWS Error NETWORK_CONNECTION")

    with pytest.raises(DamagedFileError, match=r"photo\.jpg can't be fetched .*NETWORK"):
        _content(partial(_fetch, Away(), "bucket/photo.jpg"))


def test_keys_are_not_shown():
    for place in ("s3://id:se/cr+et@bucket/x", "s3://id:secret@bucket/x", "s3://id@bucket/x"):
        assert without_key(place) == "s3://bucket/x"
    assert without_key("s3://bucket/a@b") == "s3://bucket/a@b"
    with pytest.raises(InvalidInputError) as error:
        Folder.of("foo://id:secret@x")
    assert "secret" not in str(error.value) and error.value.__cause__ is None
