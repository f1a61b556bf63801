"""A cluster of one CPU on this machine, a tiny model, and photos of which one can't be read."""

import os

import pytest

from tests.fixtures.photos import write_photos
from tests.modeling.test_modeling import make_model

COUNT = 21
OBJECT_STORE = 100 * 2**20  # bytes
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("ray") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    folder = write_photos(tmp_path_factory.mktemp("collection") / "photos", COUNT)
    (folder / "1.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def cluster():
    """Ray's workers are processes that import PyTorch anew for each job: few jobs, many checks."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=1, object_store_memory=OBJECT_STORE, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
