"""`wordsight predict --ray` and `predict_dataset`: the labels of `predict_shards`, from a cluster."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.scale.conftest import COUNT
from wordsight.cli import app
from wordsight.modeling.tiling import check_tiling
from wordsight.pipelines.batch_inference import predict_shards
from wordsight.pipelines.loading import load_pipeline
from wordsight.scale.labeling import Labeler, prepare
from wordsight.scale.storage import Folder
from wordsight.utils.errors import InvalidInputError, WordsightError

SHARDS = 4


@pytest.fixture(scope="module")
def expected(tmp_path_factory, model_dir, photos_dir):
    """What one process writes."""
    out = tmp_path_factory.mktemp("labels") / "plain"
    predict_shards(str(model_dir), photos_dir, out, SHARDS)
    return out


def contents(folder):
    """File name -> rows."""
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}


def assert_same_labels(found, right):
    """Rows are the same, and scores up to what another batch changes."""
    assert [(row["photo"], row["labels"], row["error"]) for row in found] == [
        (row["photo"], row["labels"], row["error"]) for row in right
    ]
    for row, other in zip(found, right, strict=True):
        assert row["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_the_cluster_goes_on_where_one_process_was_stopped(cluster, expected, model_dir, photos_dir, tmp_path):
    out = tmp_path / "labels"
    out.mkdir()
    first = "part-00000-of-00004.parquet"
    for name in (first, "predict.json"):
        shutil.copy2(expected / name, out / name)
    (out / "part-00001-of-00004.parquet.partial").write_bytes(b"half a file")
    stamp = (out / first).stat().st_mtime_ns
    command = ["predict", str(model_dir), str(photos_dir), "--shards", str(SHARDS), "--ray", "auto", "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--batch-size", "4"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 of 4 shards are whole already." in result.stdout
    assert f"{COUNT} photos in {out}, 1 unreadable." in result.stdout
    found, right = contents(out), contents(expected)
    assert found.keys() == right.keys()
    for name, rows in found.items():
        assert_same_labels(rows, right[name])
        assert pq.read_schema(out / name).equals(pq.read_schema(expected / name))
    assert sum(row["error"] == "not in a format that Pillow reads" for rows in found.values() for row in rows) == 1
    assert (out / first).stat().st_mtime_ns == stamp
    assert json.loads((out / "predict.json").read_text()) == json.loads((expected / "predict.json").read_text())
    # All is there: nothing is started any more, and another run is refused.
    again = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "4 of 4 shards are whole already." in again.stdout
    with pytest.raises(InvalidInputError, match=r"holds another run: threshold is 0\.5 there, 0\.25 here"):
        CliRunner().invoke(app, [*command, "--threshold", "0.25"], catch_exceptions=False)


@pytest.mark.slow
def test_photos_at_an_address_and_labels_here(cluster, expected, model_dir, photos_dir, tmp_path):
    command = ["predict", str(model_dir), f"file://{photos_dir}", "--shards", str(SHARDS), "--ray", "auto"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "labels")], catch_exceptions=False)
    assert f"{COUNT} photos in {tmp_path / 'labels'}, 1 unreadable." in result.stdout
    for name, rows in contents(tmp_path / "labels").items():
        assert_same_labels(rows, contents(expected)[name])


def test_other_formats_are_written_from_the_cluster_s_shards(expected, model_dir, photos_dir, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(expected, out / "predictions")  # so that nothing is left to label, and no cluster is asked for
    command = ["predict", str(model_dir), str(photos_dir), "--shards", str(SHARDS), "--ray", "127.0.0.1:1"]
    result = CliRunner().invoke(app, [*command, "--out", str(out), "--format", "jsonl"], catch_exceptions=False)
    assert "4 of 4 shards are whole already." in result.stdout
    (written,) = out.glob("*.jsonl")
    assert len(written.read_text().splitlines()) == COUNT


def labels_of(table, model_dir, **options):
    """What a task and an actor make of rows, here."""
    labeler = load_pipeline(str(model_dir))
    prepared = [*prepare(table, labeler.image_processor, check_tiling(options.pop("tiles", "off")), "image")]
    actor = Labeler(str(model_dir), None, "torch", "auto", {"threshold": 0.0, "top_k": 2} | options)
    return actor(pa.concat_tables(prepared)).to_pylist()


@pytest.mark.parametrize("tiles", ["off", "auto"])
def test_photos_as_bytes_paths_and_pairs_have_the_pipeline_s_labels(model_dir, photos_dir, tiles):
    paths = [str(photos_dir / f"{number}.jpg") for number in (0, 2, 3)]
    right = load_pipeline(str(model_dir))(paths, top_k=2, tiles=tiles)
    read = [(photos_dir / f"{number}.jpg").read_bytes() for number in (0, 2, 3)]
    kinds = {
        "bytes": [*read, b"no photo", None],
        "paths": [*paths, str(photos_dir / "1.jpg"), None],
        "pairs": [
            *({"bytes": content, "path": None} for content in read),
            {"bytes": b"no photo", "path": "x.jpg"},
            None,
        ],
    }
    for values in kinds.values():
        rows = labels_of(pa.table({"id": range(5), "image": values}), model_dir, tiles=tiles)
        assert [row["id"] for row in rows] == [*range(5)]
        assert [row["error"] for row in rows] == [
            *[None] * 3, "not in a format that Pillow reads", "ValueError: no photo in this row"
        ]  # fmt: skip
        for row, labels in zip(rows, right, strict=False):
            assert row["labels"] == [entry["label"] for entry in labels]
            assert row["scores"] == pytest.approx([entry["score"] for entry in labels], abs=1e-5)
        assert rows[3]["labels"] == rows[4]["labels"] == []
        assert rows[0].keys() == {"id", "labels", "scores", "error"}


def test_arrays_as_ray_reads_images(model_dir, photos_dir):
    from ray.data.extensions import ArrowTensorArray

    arrays = [np.asarray(Image.open(photos_dir / f"{number}.jpg")) for number in (0, 2)]
    right = load_pipeline(str(model_dir))([Image.fromarray(array) for array in arrays], top_k=2)
    table = pa.table({"image": ArrowTensorArray.from_numpy(np.array([*arrays, None], dtype=object)[:2])})
    for row, labels in zip(labels_of(table, model_dir), right, strict=True):
        assert row["labels"] == [entry["label"] for entry in labels]
        assert row["scores"] == pytest.approx([entry["score"] for entry in labels], abs=1e-5)


def test_an_error_that_is_known_already_is_kept(model_dir, photos_dir):
    photo = (photos_dir / "0.jpg").read_bytes()
    rows = labels_of(pa.table({"image": [None, photo], "error": ["not found", None]}), model_dir)
    assert [row["error"] for row in rows] == ["not found", None]
    assert [len(row["labels"]) for row in rows] == [0, 2]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"photo": [b""]}, r"no column 'image'; it has photo\. Pass image_column"),
        ({"image": [b""], "labels": [0]}, r"columns that labeling adds: labels\. Rename them"),
    ],
)
def test_columns_that_do_not_fit(columns, message):
    with pytest.raises(InvalidInputError, match=message):
        next(prepare(pa.table(columns), None, "off", "image"))


def test_a_folder_by_its_address(tmp_path):
    folder = Folder.of(f"file://{tmp_path}/labels")
    assert folder.names() == []
    folder.write("a.txt", b"first")
    folder.write("a.txt", b"second")
    assert folder.names() == ["a.txt"] and folder.read("a.txt") == b"second"
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["a.txt"]
    with pytest.raises(InvalidInputError, match="begins with one of s3://"):
        Folder.of("ftp2://somewhere/labels")
    assert Folder.of("s3://id:secret@bucket/labels?region=eu-west-1").name == "s3://bucket/labels?region=eu-west-1"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WordsightError, match="can't be written"):
        Folder.of(tmp_path / "file" / "labels").write("a.txt", b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg", "b.jpg", "--ray", "auto", "--out", "x"], "--ray takes one source, got 2"),
        (["a.jpg", "--ray", "auto"], "--ray writes files: pass --out DIR"),
        (["photos", "--ray", "auto", "--out", "x", "--num-workers", "2"], "--num-workers does not work with --ray"),
        (["photos", "--shards", "2", "--out", "x", "--concurrency", "2"], "--concurrency is for --ray"),
        (["photos", "--shards", "2", "--out", "s3://bucket/x"], "is not on this machine: pass --ray"),
        (
            ["photos", "--ray", "auto", "--format", "coco", "--out", "s3://bucket/x"],
            "--format coco is for photos",
        ),
        (["s3://bucket/x", "--ray", "auto", "--format", "csv", "--out", "x"], "--format csv is for photos and folders"),
        (["a.jpg", "--concurrency", "2"], "--concurrency are for labeling a dataset"),
    ],
)
def test_options_that_do_not_go_together(model_dir, arguments, message):
    result = CliRunner().invoke(app, ["predict", str(model_dir), *arguments])
    assert isinstance(result.exception, InvalidInputError)
    assert message in str(result.exception)
