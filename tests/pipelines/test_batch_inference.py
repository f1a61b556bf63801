"""`wordsight predict --shards`: folders, tars, parquet and the Hub; one process, two, killed and run again."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight, wordsight_on
from wordsight import PromptTrainingArguments, train_prompts
from wordsight.cli import app
from wordsight.pipelines import image_loader as photos_module
from wordsight.pipelines.batch_inference import predict_shards
from wordsight.pipelines.loading import load_pipeline
from wordsight.utils.errors import InvalidInputError, WordsightError

COUNT, SHARDS = 21, 4
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, texts_dir, tiny_clip_dir, files):
    """A model with thresholds in the middle of these photos' scores, so that some labels are found and some are not."""
    out = tmp_path_factory.mktemp("sharded") / "model"
    train_prompts(texts_dir, out, str(tiny_clip_dir), args=PromptTrainingArguments(str(out), num_train_epochs=1))
    logits = {}
    for found in load_pipeline(str(out))(
        [str(path) for path in files if path.name != "1.jpg"], function_to_apply="none"
    ):
        for entry in found:
            logits.setdefault(entry["label"], []).append(entry["score"])
    config = json.loads((out / "config.json").read_text())
    # The logits are scale * (similarity - threshold).
    fitted = zip(config["id2label"].values(), config["score_scale"], config["score_threshold"], strict=True)
    config["score_threshold"] = [at + float(np.median(logits[name])) / scale for name, scale, at in fitted]
    (out / "config.json").write_text(json.dumps(config))
    return out


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    """Photos at two depths; the second can't be read."""
    folder = write_photos(tmp_path_factory.mktemp("collection") / "photos", COUNT)
    (folder / "1.jpg").write_bytes(b"no photo")
    (folder / "more").mkdir()
    for number in range(0, COUNT, 3):
        (folder / f"{number}.jpg").rename(folder / "more" / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def files(photos_dir):
    """Their paths, in the order of their names."""
    return sorted(photos_dir.rglob("*.jpg"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, model_dir, photos_dir):
    """The folder that the command makes in one process."""
    out = tmp_path_factory.mktemp("labels") / "one"
    result = run(model_dir, photos_dir, out)
    assert result.returncode == 0, result.stderr
    assert f"{COUNT} photos in {out}, 1 unreadable." in result.stdout
    assert f'datasets.load_dataset("parquet", data_files="{out}/*.parquet")' in result.stdout
    return out


def run(model_dir, source, out, *arguments, processes=1):
    options = ("--shards", SHARDS, "--out", out, "--threshold", 0.5, "--batch-size", 2, *arguments)
    command = ("predict", model_dir, source, *options)
    if processes == 1:
        return wordsight(*command)
    return wordsight_on([{"LOCAL_RANK": str(rank)} for rank in range(processes)], *command)


def contents(folder):
    """File name -> rows, bit for bit."""
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}


def labels(folder):
    """All rows in order, without their names."""
    rows = [row for rows in contents(folder).values() for row in rows]
    return [(row["labels"], row["scores"], row["error"]) for row in rows]


def test_every_photo_is_a_row_with_the_pipeline_s_labels(undisturbed, model_dir, photos_dir, files):
    rows = datasets.load_dataset("parquet", data_files=f"{undisturbed}/*.parquet", split="train")
    assert rows["photo"] == [path.relative_to(photos_dir).as_posix() for path in files]
    labeler = load_pipeline(str(model_dir))
    for row, path in zip(rows, files, strict=True):
        if path.name == "1.jpg":
            assert row["labels"] == row["scores"] == []
            assert row["error"] == "not in a format that Pillow reads"
            continue
        expected = labeler(str(path), threshold=0.5)
        assert row["error"] is None
        assert row["labels"] == [entry["label"] for entry in expected]
        assert row["scores"] == pytest.approx([entry["score"] for entry in expected], abs=1e-5)
    assert {len(found) for found in rows["labels"]} >= {0, 1, 2}
    assert len(contents(undisturbed)) == SHARDS


@pytest.mark.slow
def test_two_processes_write_the_same_bit_for_bit(undisturbed, model_dir, photos_dir, tmp_path):
    result = run(model_dir, photos_dir, tmp_path / "two", "--num-workers", "1", processes=2)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("21 photos in") == 1  # the main process alone prints
    assert contents(tmp_path / "two") == contents(undisturbed)


# Stops at the first photo of the third shard, for as long as it takes to be killed.
STOPS = """
import sys, time
import wordsight.pipelines.image_loader as photos
open_photo = photos.open_photo
def stop(source, least=None):
    if str(source).endswith(sys.argv[4]):
        time.sleep(600)
    return open_photo(source, least)
photos.open_photo = stop
from wordsight.pipelines.batch_inference import predict_shards
predict_shards(*sys.argv[1:4], 4, threshold=0.5, batch_size=2)
"""


@pytest.mark.slow
def test_killed_and_run_again_neither_repeats_nor_loses_a_photo(undisturbed, model_dir, photos_dir, files, tmp_path):
    out = tmp_path / "killed"
    third = files[COUNT * 2 // SHARDS].name
    command = [sys.executable, "-c", STOPS, str(model_dir), str(photos_dir), str(out), "/" + third]
    process = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    partial = out / "part-00002-of-00004.parquet.partial"
    while not partial.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert [path.name for path in sorted(stamps)] == ["part-00000-of-00004.parquet", "part-00001-of-00004.parquet"]
    again = run(model_dir, photos_dir, out)
    assert again.returncode == 0, again.stderr
    assert f"Warning: Shard 2 of 4 was left unfinished ({partial}); doing it again." in again.stderr
    assert "2 of 4 shards are whole already." in again.stdout
    assert contents(out) == contents(undisturbed)
    assert not partial.exists()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_another_run_s_folder_is_refused(undisturbed, model_dir, photos_dir, tmp_path):
    kept = contents(undisturbed)
    options = {"shards": SHARDS, "threshold": 0.5, "top_k": None, "source": photos_dir}
    for changed, told in [
        ({"threshold": 0.3}, r"threshold is 0\.5 there, 0\.3 here"),
        ({"top_k": 2}, "top_k is None there, 2 here"),
        ({"shards": 5}, "shards is 4 there, 5 here"),
        ({"source": photos_dir / "more"}, "source is .* there, .* here; photos is 21 there, 7 here"),
    ]:
        with pytest.raises(InvalidInputError, match=rf"holds another run: .*{told}.*Pass another --out"):
            predict_shards(str(model_dir), out=undisturbed, **options | changed)
    other = shutil.copytree(model_dir, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["score_threshold"][0] += 0.5
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInputError, match=r"model_state is '.*' there, '.*' here"):
        predict_shards(str(other), out=undisturbed, **options)
    assert contents(undisturbed) == kept
    (undisturbed / "predict.json").rename(tmp_path / "predict.json")
    try:
        with pytest.raises(InvalidInputError, match=r"holds parts, but no predict\.json"):
            predict_shards(str(model_dir), out=undisturbed, **options)
    finally:
        (tmp_path / "predict.json").rename(undisturbed / "predict.json")


def write_tars(folder, files, count):
    """Webdataset tars with a JPEG and a number a sample."""
    folder.mkdir()
    for part in range(count):
        with tarfile.open(folder / f"{part}.tar", "w") as tar:
            for number in range(len(files) * part // count, len(files) * (part + 1) // count):
                for suffix, content in (("cls", str(number).encode()), ("jpg", files[number].read_bytes())):
                    member = tarfile.TarInfo(f"{number:03d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder


def write_parquet(folder, files, count):
    """Parquet as `datasets` writes it, with bytes of photos."""
    rows = datasets.Dataset.from_dict({"image": [{"bytes": path.read_bytes(), "path": None} for path in files]})
    rows = rows.cast_column("image", datasets.Image())
    folder.mkdir()
    for part in range(count):
        rows.shard(count, part, contiguous=True).to_parquet(folder / f"{part}.parquet")
    return folder


def test_tars_parquet_and_folders_give_the_same_labels(undisturbed, model_dir, files, tmp_path):
    expected = labels(undisturbed)
    options = {"shards": 3, "threshold": 0.5, "batch_size": 2}
    tars, parquet = write_tars(tmp_path / "tars", files, 4), write_parquet(tmp_path / "parquet", files, 3)
    done = predict_shards(str(model_dir), tars, tmp_path / "from-tars", num_workers=2, **options)
    assert (done.photos, done.unreadable) == (COUNT, 1)
    predict_shards(str(model_dir), f"{parquet}/*.parquet", tmp_path / "from-parquet", **options)
    # Not written by `datasets`: bytes, and nothing that says that they are photos.
    plain = pa.table({"number": range(COUNT), "image": [path.read_bytes() for path in files]})
    pq.write_table(plain, tmp_path / "plain.parquet")
    predict_shards(str(model_dir), tmp_path / "plain.parquet", tmp_path / "from-plain", **options | {"shards": 1})
    starts = [("from-tars", "0.tar/000"), ("from-parquet", "0.parquet:0"), ("from-plain", "plain.parquet:0")]
    for name, first in starts:
        rows = [row for rows in contents(tmp_path / name).values() for row in rows]
        assert rows[0]["photo"] == first
        assert len({row["photo"] for row in rows}) == COUNT
        found = labels(tmp_path / name)
        assert [(row[0], row[2]) for row in found] == [(row[0], row[2]) for row in expected]
        for row, right in zip(found, expected, strict=True):
            assert row[1] == pytest.approx(right[1], abs=1e-5)


@pytest.mark.parametrize("write", [write_parquet, write_tars])
def test_hub_data_set(write, undisturbed, model_dir, files, tmp_path, hub):
    from tests.conftest import HUB

    api, name = HfApi(token=HUB.tokens["write"]), f"alice/{write.__name__.replace('_', '-')}"
    api.create_repo(name, repo_type="dataset")
    api.upload_folder(repo_id=name, repo_type="dataset", folder_path=write(tmp_path / "data", files, 2))
    predict_shards(str(model_dir), name, tmp_path / "labels", 2, split="train", threshold=0.5)
    assert [row[0] for row in labels(tmp_path / "labels")] == [row[0] for row in labels(undisturbed)]
    with pytest.raises(InvalidInputError, match="There is no 'alice/none' on this machine, nor a dataset"):
        predict_shards(str(model_dir), "alice/none", tmp_path / "none", 2)


def test_sources_that_can_t_be_cut_or_read(model_dir, photos_dir, files, tmp_path):
    tars = write_tars(tmp_path / "tars", files, 2)
    for source, shards, message in [
        (tars, 3, r"can't be cut into 3 shards: it has 2 files.*--shards 2\."),
        (photos_dir, 22, r"can't be cut into 22 shards: it has 21 photos.*--shards 21\."),
        (f"{tmp_path}/*.parquet", 1, "No file matches"),
        (tmp_path, 1, "files of several kinds"),
    ]:
        if source == tmp_path:
            write_parquet(tmp_path / "parquet", files, 1)
        with pytest.raises(InvalidInputError, match=message):
            predict_shards(str(model_dir), source, tmp_path / "out", shards)
    assert not (tmp_path / "out").exists()
    with (tars / "1.tar").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(WordsightError, match=r"Shard 1 of 2: 1\.tar can't be read to its end .* run the same command"):
        predict_shards(str(model_dir), tars, tmp_path / "out", 2)
    assert [path.name for path in sorted((tmp_path / "out").glob("*.parquet"))] == ["part-00000-of-00002.parquet"]


def test_dead_worker_names_its_shard(model_dir, photos_dir, files, tmp_path, monkeypatch):
    def die(source, least=None):
        if source == files[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return open_photo(source, least)

    open_photo = photos_module.open_photo
    monkeypatch.setattr(photos_module, "open_photo", die)
    with pytest.raises(WordsightError, match=r"Shard 1 of 2: .*died.*'more/0\.jpg', .* Shards that are whole are kept"):
        predict_shards(str(model_dir), photos_dir, tmp_path / "out", 2, batch_size=4, num_workers=1)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="Shard 1 of 2 was left unfinished"):
        assert predict_shards(str(model_dir), photos_dir, tmp_path / "out", 2, batch_size=4).photos == COUNT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg", "b.jpg", "--shards", "2", "--out", "x"], "takes one source, got 2"),
        (["a.jpg", "--shards", "2"], "pass --out DIR"),
        (["a.jpg", "--out", "x"], "pass --shards, --format or --ray"),
    ],
)
def test_options_that_do_not_go_together(model_dir, arguments, message):
    result = CliRunner().invoke(app, ["predict", str(model_dir), *arguments])
    assert isinstance(result.exception, InvalidInputError)
    assert message in str(result.exception)
