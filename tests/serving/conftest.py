"""A model behind HTTP, in this process: uvicorn runs in a thread, and clients talk to it over loopback."""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import uvicorn
from PIL import Image

from tests.modeling.test_modeling import make_model
from wordsight.modeling.configuration_wordsight import TASK
from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline
from wordsight.serving import ServingOptions, make_app
from wordsight.serving.protocol import PatientProtocol
from wordsight.serving.service import Service


@dataclass(frozen=True)
class Running:
    """Where a server listens, and what it is made of."""

    address: str
    port: int
    service: Service


@pytest.fixture(scope="session")
def classifier(tiny_clip_dir):
    model = make_model(str(tiny_clip_dir))
    return MultiLabelImageClassificationPipeline(
        model=model, image_processor=model.image_encoder.image_processor, task=TASK
    )


@pytest.fixture(scope="session")
def model_folder(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served-model")
    classifier.model.save_pretrained(folder)
    return folder


@contextmanager
def serving(classifier, protocol=PatientProtocol, transport=None, **options):
    """A server with some options, until the block ends."""
    parts = {} if transport is None else {"transport": transport}
    app = make_app(classifier, ServingOptions(**options), **parts)
    config = uvicorn.Config(app, port=0, http=protocol, ws="none", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{port}", port, app.state.service)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def held_up(classifier):
    """The model waits in its next batch until the block, or the event that it gives, ends the wait."""
    go, entered = threading.Event(), threading.Event()

    def wait(*_):
        entered.set()
        assert go.wait(30)

    hook = classifier.model.register_forward_pre_hook(wait)
    try:
        yield entered, go
    finally:
        go.set()
        hook.remove()


@pytest.fixture(scope="module")
def server(classifier):
    with serving(classifier) as running:
        yield running


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Paths of ten photos of different sizes and formats."""
    folder = tmp_path_factory.mktemp("served")
    drawn = np.random.default_rng(0)
    paths = []
    for number in range(10):
        height, width = drawn.integers(24, 90, size=2)
        pixels = drawn.integers(0, 255, (height, width, 3), dtype=np.uint8)
        path = folder / f"{number}.{('png', 'jpg', 'webp')[number % 3]}"
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths
