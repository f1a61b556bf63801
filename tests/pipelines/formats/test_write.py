"""`wordsight predict --format`: the pipeline's labels in every format, and back; interrupted, twice, and wrong."""

import shutil
import tarfile
import time

import pytest
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight
from tests.modeling.test_modeling import make_model
from wordsight.cli import app
from wordsight.modeling.configuration_wordsight import WordsightConfig
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.pipelines.formats.options import OUTPUT_FORMATS
from wordsight.pipelines.formats.write import predict_to_format
from wordsight.pipelines.loading import load_pipeline
from wordsight.utils.errors import InvalidInputError

THRESHOLD = 0.3
# Format -> what `evaluate --format` calls it, and the file. XMP is no format of labels alone.
FILES = {
    "csv": ("csv", "labels.csv"),
    "jsonl": ("jsonl", "labels.jsonl"),
    "coco": ("coco", "coco.json"),
    "cvat": ("cvat", "annotations.xml"),
    "fiftyone": ("fiftyone", "labels.json"),
    "datasets": ("jsonl", "dataset/metadata.jsonl"),
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("formats") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = write_photos(tmp_path_factory.mktemp("formats") / "photos", 5)
    (folder / "3.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory, model_dir, photos):
    """All formats, in one folder: photos are labeled once."""
    folder = tmp_path_factory.mktemp("formats") / "out"
    times = set()
    for output_format in (name for name in OUTPUT_FORMATS if name not in ("parquet", "xmp")):
        done, _ = predict_to_format(model_dir, photos, folder, output_format, threshold=THRESHOLD)
        assert (done.photos, done.unreadable) == (5, 1)
        times.add((folder / "predictions/part-00000-of-00001.parquet").stat().st_mtime_ns)
    assert len(times) == 1
    return folder


@pytest.fixture(scope="module")
def expected(model_dir, photos):
    labeler = load_pipeline(model_dir)
    names = ("0.jpg", "1.jpg", "2.jpg", "4.jpg")
    return {n: {e["label"] for e in labeler(str(photos / n), threshold=THRESHOLD)} for n in names}


@pytest.mark.parametrize("output_format", FILES)
def test_labels_of_the_pipeline_come_back_from_every_format(output_format, out, expected, model_dir, photos):
    kind, file = FILES[output_format]
    categories = WordsightConfig.from_pretrained(model_dir).categories
    dataset = load_labeled_photos(out / file, kind, categories, photos_folder=photos)
    found = {
        photo.source.name: {categories[k].name for k in row.nonzero()[0]}
        for photo, row in zip(dataset.photos, dataset.labels, strict=True)
    }
    found.pop("3.jpg", None)
    if output_format == "coco":  # photos without any object are left out there
        expected = {name: labels for name, labels in expected.items() if labels}
    assert found == expected
    assert len(set(map(frozenset, expected.values()))) > 1


def test_command_says_what_it_wrote_and_continues(model_dir, photos, tmp_path):
    command = ("predict", model_dir, photos, "--format", "label-studio", "--out", tmp_path / "out", "--shards", 2)
    first = wordsight(*command)
    assert first.returncode == 0, first.stderr
    assert f"5 photos in {tmp_path}/out/predictions, 1 unreadable. Tasks: {tmp_path}/out/tasks.json" in first.stdout
    parts = sorted((tmp_path / "out/predictions").glob("*.parquet"))
    tasks, kept = (tmp_path / "out/tasks.json").read_bytes(), parts[0].stat().st_mtime_ns
    parts[1].unlink()
    time.sleep(0.01)
    again = wordsight(*command)
    assert "1 of 2 shards are whole already." in again.stdout
    assert parts[0].stat().st_mtime_ns == kept
    assert (tmp_path / "out/tasks.json").read_bytes() == tasks


@pytest.mark.parametrize("pattern", ["", "**/*"])
def test_copies_in_the_source_are_no_photos_of_the_next_run(pattern, model_dir, photos, tmp_path):
    source = shutil.copytree(photos, tmp_path / "photos")
    for output_format in ("datasets", "csv"):
        done, _ = predict_to_format(model_dir, f"{source}/{pattern}", source / "out", output_format)
        assert done.photos == 5
    assert (source / "out/dataset/0.jpg").is_file()
    with pytest.raises(InvalidInputError, match=r"photos holds the photos, and would hold their copies"):
        predict_to_format(model_dir, source, source, "datasets")


def test_names_are_checked_before_photos_are_labeled(model_dir, photos, tmp_path):
    odd = shutil.copytree(model_dir, tmp_path / "model") / "config.json"
    odd.write_text(odd.read_text().replace('"cat"', '"this|that"'))
    with pytest.raises(InvalidInputError, match=r"'this\|that' has one in its name"):
        predict_to_format(str(odd.parent), photos, tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()


def test_photos_in_tars_have_names_alone(model_dir, photos, tmp_path):
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(photos / "0.jpg", "0.jpg")
    with pytest.raises(InvalidInputError, match="--format cvat refers to photos by their files"):
        predict_to_format(model_dir, tmp_path / "some.tar", tmp_path / "out", "cvat")
    assert not (tmp_path / "out").exists()
    predict_to_format(model_dir, tmp_path / "some.tar", tmp_path / "out", "csv")
    assert "some.tar/0," in (tmp_path / "out/labels.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "yolo", "--out", "x"], "--format yolo is not known. Pass one of csv, jsonl"),
        (["--format", "cvat"], "--format writes files: pass --out DIR"),
        (["--format", "cvat", "--out", "x", "--xmp", "copies"], "--xmp says where --format xmp writes"),
        (["--format", "xmp", "--out", "x", "--xmp", "here"], "--xmp here is not known"),
        (["--format", "cvat", "--out", "x", "--base-url", "http://a"], "--base-url is for --format label-studio"),
        (["b.jpg", "--format", "cvat", "--out", "x"], "--format takes one source, got 2"),
    ],
)
def test_options_are_checked_before_any_work(options, message):
    result = CliRunner().invoke(app, ["predict", "no-model", "a.jpg", *options])
    assert message in str(result.exception)
