"""A cluster of two nodes, of which one is killed half way: every photo once, none lost."""

from contextlib import suppress

import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.fixtures.photos import write_photos
from tests.scale.conftest import OBJECT_STORE
from wordsight.pipelines.loading import load_pipeline
from wordsight.scale import predict_on_ray
from wordsight.utils.progress import listening

DISTINCT, COPIES, SHARDS = 20, 90, 90  # enough that the second node begins before the first has done all
COUNT = DISTINCT * COPIES
ONE_CPU = {"num_cpus": 1, "object_store_memory": OBJECT_STORE, "include_dashboard": False}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def many_photos(tmp_path_factory):
    """Many files, of which one in twenty can't be read; large, so that the job takes some seconds."""
    folder = write_photos(tmp_path_factory.mktemp("many") / "photos", DISTINCT)
    (folder / "labels.jsonl").unlink()
    for path in sorted(folder.iterdir()):
        if path.name == "1.jpg":
            path.write_bytes(b"no photo")
        else:
            Image.open(path).resize((1600, 1200)).save(path)
        for copy in range(COPIES):
            (folder / f"{path.stem}-{copy:02d}.jpg").hardlink_to(path)
        path.rename(folder.parent / path.name)
    return folder


@pytest.fixture
def two_nodes():
    """Ray, connected to a head with one CPU, the cluster, and its second node."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=ONE_CPU)
    node = cluster.add_node(**ONE_CPU)
    ray.init(cluster.address, log_to_driver=False)
    yield ray, cluster, node
    ray.shutdown()
    cluster.shutdown()


def actors_of(node):
    """Processes of a node that are labeling photos."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    found = []
    for child in raylet.children(recursive=True):
        with suppress(psutil.Error):  # it has just died
            if ".submit" in " ".join(child.cmdline()):
                found.append(child)
    return found


def is_alive(process):
    """Whether it runs; the dead may wait for a parent that died, too."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_every_photo_is_one_row_when_the_job_is_stopped_and_a_node_is_killed(
    two_nodes, many_photos, model_dir, tmp_path
):
    ray, cluster, node = two_nodes
    out = tmp_path / "labels"
    options = {"shards": SHARDS, "ray": "auto", "batch_size": 10, "top_k": 2, "threshold": 0.0}

    def stop(progress):
        if progress.desc == "Labeling photos" and progress.done > COUNT // 10:
            raise KeyboardInterrupt

    with listening(stop), pytest.raises(KeyboardInterrupt):
        predict_on_ray(str(model_dir), many_photos, out, **options)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert 0 < len(stamps) < SHARDS // 2

    killed = []

    def kill(progress):
        at_work = progress.desc == "Labeling photos" and progress.done and not killed
        if at_work and (actors := actors_of(node)):  # the second node, too
            killed.extend(actors)
            cluster.remove_node(node, allow_graceful=False)

    with listening(kill):
        done = predict_on_ray(str(model_dir), many_photos, out, **options)
    assert killed and not any(is_alive(process) for process in killed)
    assert sum(each["Alive"] for each in ray.nodes()) == 1

    assert (done.photos, done.unreadable) == (COUNT, COPIES)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    parts = sorted(out.glob("*.parquet"))
    assert len(parts) == SHARDS and not list(out.glob("*.partial"))
    rows = [row for path in parts for row in pq.read_table(path).to_pylist()]
    assert [row["photo"] for row in rows] == sorted(path.name for path in many_photos.iterdir())
    labeler = load_pipeline(str(model_dir))
    readable = [name for name in range(DISTINCT) if name != 1]
    found = labeler([str(many_photos.parent / f"{name}.jpg") for name in readable], top_k=2)
    right = dict(zip(readable, found, strict=True))
    for row in rows:
        number = int(row["photo"].split("-")[0])
        assert (row["error"] is not None) == (number == 1)
        if number != 1:
            assert row["labels"] == [entry["label"] for entry in right[number]]
            assert row["scores"] == pytest.approx([entry["score"] for entry in right[number]], abs=1e-3)
