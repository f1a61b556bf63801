"""The app as programs use it: the endpoints of the real thing, good and bad input, and two visitors at once."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub.utils import httpx
from PIL import Image

from tests.fixtures.app import free_port
from wordsight.cli import app as wordsight
from wordsight.demo import PHOTOS
from wordsight.example_photos import load_photos
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def client(app):
    return Client(app.address, verbose=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, photo in load_photos().items():
        photo.save(folder / f"{name}.png")
    return folder


def label(client, app, photo, threshold=0.0, top_k=3):
    return client.predict(handle_file(photo), str(app.model), threshold, top_k, api_name="/label")


def test_labels(client, app, photos):
    first = {name: label(client, app, photos / f"{name}.png")[0]["label"] for name in ("chelsea", "coffee", "flower")}
    assert first == {name: PHOTOS[name] for name in first}
    assert len(label(client, app, photos / "chelsea.png", top_k=2)) == 2
    assert all(entry["score"] >= 0.5 for entry in label(client, app, photos / "chelsea.png", threshold=0.5, top_k=20))


def test_heat_map(client, app, photos):
    answer = client.predict(handle_file(photos / "chelsea.png"), str(app.model), "cat", api_name="/heatmap")
    lit, photo = Image.open(answer).convert("RGB"), Image.open(photos / "chelsea.png")
    assert lit.size == photo.size
    assert np.abs(np.asarray(lit, dtype=int) - np.asarray(photo, dtype=int)).mean() > 10
    with pytest.raises(AppError, match="no label 'zebra'"):
        client.predict(handle_file(photos / "chelsea.png"), str(app.model), "zebra", api_name="/heatmap")


def save_difficult(folder, photo):
    """Photos as they come: each of them shows a cat."""
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    photo.save(folder / "animated.gif", save_all=True, append_images=[photo.rotate(90)] * 3)
    gray = np.asarray(photo.convert("L"), dtype=np.uint16) * 257
    Image.fromarray(gray).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.rotate(90, expand=True).save(folder / "rotated.jpg", exif=exif)
    photo.resize((12_000, 8_400)).save(folder / "large.jpg", quality=30)
    return [folder / name for name in ("cmyk.jpg", "animated.gif", "deep.png", "rotated.jpg", "large.jpg")]


def test_difficult_photos(client, app, tmp_path):
    for path in save_difficult(tmp_path, load_photos()["chelsea"]):
        assert label(client, app, path)[0]["label"] == "cat", path.name


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.jpg", b"This is no photo."), ("cut.png", None), ("empty.jpg", b"")],
)
def test_broken_photos_are_named_and_the_app_stays_alive(client, app, photos, tmp_path, name, content):
    broken = tmp_path / name
    broken.write_bytes((photos / "chelsea.png").read_bytes()[:2000] if content is None else content)
    with pytest.raises(AppError, match=rf"{name}.* can't be read as an image"):
        label(client, app, broken)
    assert label(client, app, photos / "chelsea.png")[0]["label"] == "cat"


def test_only_the_apps_models_and_uploaded_photos(client, app, photos, tmp_path):
    another = shutil.copytree(app.model, tmp_path / "model")
    with pytest.raises(AppError, match="list of choices"):
        client.predict(handle_file(photos / "chelsea.png"), str(another), 0.0, 3, api_name="/label")
    # Past the client, which would upload it.
    path = photos / "chelsea.png"
    with path.open("rb") as file:
        uploaded = httpx.post(f"{app.address}gradio_api/upload", files={"files": file}).raise_for_status().json()
    assert "cat" in label_at(app, uploaded[0])
    answer = label_at(app, path)
    assert "event: error" in answer and "cat" not in answer
    assert httpx.get(f"{app.address}gradio_api/file={path}").status_code == 403


def label_at(app, path):
    """What the app says of a file on its own disk."""
    call = f"{app.address}gradio_api/call/label"
    photo = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    asked = httpx.post(call, json={"data": [photo, str(app.model), 0.0, 3]}).raise_for_status()
    return httpx.get(f"{call}/{asked.json()['event_id']}", timeout=30).text


@pytest.mark.parametrize(("threshold", "top_k"), [(1.5, 3), (0.5, 0), (0.5, 1000)])
def test_settings_out_of_range(client, app, photos, threshold, top_k):
    with pytest.raises(AppError, match=r"(?i)value"):
        label(client, app, photos / "chelsea.png", threshold, top_k)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "category list is empty"),
        ("cat", "at least 2"),
        ("cat\ndog\nCat", "line 3: 'Cat' is given twice"),
        ("cat, kitten\n, dog", "line 2: A category has no name"),
        (f"cat\n{'x' * 200}", "has 200 characters"),
    ],
)
def test_unusable_categories(client, names, message):
    status, _ = client.predict(names, 50, api_name="/train")
    assert message.replace("'", "&#x27;") in status and "class='error'" in status


@pytest.mark.slow
def test_two_visitors_at_once(app, client, photos):
    """The second waits for the first, and finds trained what it asks for as well; others see nothing of it."""
    visitors = [Client(app.address, verbose=False) for _ in range(2)]
    jobs = [visitor.submit("猫\nhouse", 50, api_name="/train") for visitor in visitors]
    waited = 0
    while not all(job.done() for job in jobs):
        assert sum(is_running(job) for job in jobs) <= 1
        waited += any(job.outputs() and "Waiting for 1 other training." in job.outputs()[-1][0] for job in jobs)
        time.sleep(0.3)
    assert waited
    for visitor, job in zip(visitors, jobs, strict=True):
        status, model = job.outputs()[-1]
        assert "the model labels 猫, house" in status
        assert [title for title, _ in model["choices"]] == [str(app.model), "猫, house"]
        arguments = handle_file(photos / "china.png"), model["value"], 0.0, 5
        assert {entry["label"] for entry in visitor.predict(*arguments, api_name="/label")} == {"猫", "house"}
    with pytest.raises(AppError, match="list of choices"):
        client.predict(*arguments, api_name="/label")


def wait_for(job, said):
    while not (job.outputs() and said in job.outputs()[-1][0]):
        assert not job.done(), job.outputs()
        time.sleep(0.1)


def begin(client):
    """A training, and its processes."""
    training = client.submit("goat\nhouse", 400, api_name="/train")
    wait_for(training, "class='running'")
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "wordsight.app.training_job" in " ".join(child.cmdline()):
                found.append(child)
    assert found
    return training, found


def test_cancel_lets_the_next_begin(app):
    first, second = [Client(app.address, verbose=False) for _ in range(2)]
    training, processes = begin(first)
    waiting = second.submit("horse\nhouse", 400, api_name="/train")
    wait_for(waiting, "Waiting for 1 other training.")
    first.predict(api_name="/cancel")
    assert not any(process.is_running() for process in processes)
    assert "everything it started has ended" in training.result(timeout=30)[0]
    wait_for(waiting, "class='running'")
    second.predict(api_name="/cancel")
    assert "everything it started has ended" in waiting.result(timeout=30)[0]


def test_a_visitor_who_leaves_holds_up_nobody(app, client, photos):
    """Gradio ends what they started, also while its process is quiet; the app answers meanwhile, nothing is left."""
    training, processes = begin(Client(app.address, verbose=False))
    for process in processes:
        process.suspend()
    try:
        training.cancel()  # gives up after 5 seconds
    finally:
        for process in processes:
            process.resume()
    asked = time.monotonic()
    assert label(client, app, photos / "chelsea.png")[0]["label"] == "cat"
    assert time.monotonic() - asked < 10
    _, left = psutil.wait_procs(processes, timeout=30)
    assert not left


def is_running(job):
    return not job.done() and bool(job.outputs()) and "class='running'" in job.outputs()[-1][0]


def start(*arguments):
    """What the command does, here: a process of its own would take seconds to start."""
    wordsight(["app", *map(str, arguments)], prog_name="wordsight", standalone_mode=False)


def test_used_port(stock_model):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidInputError, match=rf"can't listen on 127\.0\.0\.1, port {port}.* another --port"):
            start(stock_model, "--port", port)


def test_no_such_model(tmp_path):
    with pytest.raises(InvalidInputError, match=str(tmp_path / "nothing")):
        start(tmp_path / "nothing", "--port", free_port())


def test_no_gradio(tmp_path):
    code = "import sys; sys.argv[0] = 'wordsight'; sys.modules['gradio'] = None; from wordsight.cli import run; run()"
    command = [sys.executable, "-c", code, "app", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 1
    assert result.stderr == "Error: The app needs Gradio. Run `pip install 'wordsight[app]'`.\n"
