"""`predict_dataset` on what Ray's own readers give: parquet, files, images, webdataset tars, datasets of the Hub."""

import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.scale.conftest import OBJECT_STORE
from wordsight.pipelines.loading import load_pipeline
from wordsight.scale import predict_dataset

NUMBERS = (0, 2, 3)
UNREADABLE = "not in a format that Pillow reads"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def contents(photos_dir):
    """Files' contents by number; number 1 is no photo."""
    return {number: (photos_dir / f"{number}.jpg").read_bytes() for number in range(4)}


@pytest.fixture(scope="module")
def cluster():
    """With a CPU for the reader and one for the model."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, object_store_memory=OBJECT_STORE, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def read(cluster, contents, photos_dir, tmp_path):
    """By a reader's name: the dataset that it gives, and the column with the photos."""
    files = [str(photos_dir / f"{number}.jpg") for number in contents]

    def read_with(reader):
        data = cluster.data
        match reader:
            case "parquet":
                table = pa.table({"id": [*contents], "image": [*contents.values()]})
                pq.write_table(table, tmp_path / "photos.parquet")
                return data.read_parquet(str(tmp_path / "photos.parquet")), "image"
            case "files":
                return data.read_binary_files(files, include_paths=True), "bytes"
            case "tars":
                with tarfile.open(tmp_path / "photos.tar", "w") as tar:
                    for file in files:
                        tar.add(file, Path(file).name)
                return data.read_webdataset(str(tmp_path / "photos.tar"), decoder=None), "jpg"
            case "hub":
                pairs = [{"bytes": content, "path": None} for content in contents.values()]
                rows = datasets.Dataset.from_dict({"image": pairs}).cast_column("image", datasets.Image())
                return data.from_huggingface(rows), "image"
            case "images":
                return data.read_images([files[number] for number in NUMBERS], include_paths=True), "image"

    return read_with


@pytest.mark.parametrize("reader", ["parquet", "files", "tars", "hub", "images"])
def test_labels_are_the_pipeline_s(reader, read, model_dir, photos_dir):
    dataset, column = read(reader)
    kept = [name for name in dataset.columns() if name != column]
    rows = predict_dataset(dataset, str(model_dir), image_column=column, top_k=2, threshold=0.0).take_all()
    found = load_pipeline(str(model_dir))([str(photos_dir / f"{number}.jpg") for number in NUMBERS], top_k=2)
    right = [[(entry["label"], round(entry["score"], 3)) for entry in labels] for labels in found]
    assert sorted(
        [(label, round(float(score), 3)) for label, score in zip(row["labels"], row["scores"], strict=True)]
        for row in rows
        if row["error"] is None
    ) == sorted(right)
    assert [row["error"] for row in rows if row["error"]] == ([] if reader == "images" else [UNREADABLE])
    assert all(row.keys() == {*kept, "labels", "scores", "error"} for row in rows)
