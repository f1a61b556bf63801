"""`wordsight serve` as a process: it starts, stops, and survives the death of a worker."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import psutil
import pytest
import torch
from fastapi.testclient import TestClient
from huggingface_hub import InferenceClient

from tests.fixtures.app import free_port
from tests.fixtures.pages import ROOT, check_command
from tests.fixtures.process import Started
from tests.serving.conftest import until
from tests.serving.test_app import same
from wordsight.cli import app as wordsight
from wordsight.serving import make_app
from wordsight.serving.metrics import SHARED_FOLDER, forget_dead_workers
from wordsight.serving.server import Served
from wordsight.utils.errors import InvalidInputError, MissingDependencyError


@contextlib.contextmanager
def started(*arguments):
    """A server's process and its address, once it answers."""
    port = free_port()
    process = Started(["serve", *arguments, "--port", port])
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(address), 240)
        assert process.poll() is None, process.communicate(1)
        yield process, address
    finally:
        if process.poll() is None:
            left = psutil.Process(process._process.pid).children()
            process.send_signal(signal.SIGKILL)
            for each in left:
                each.kill()
        process.communicate(10)


def answers(address):
    try:
        return httpx.get(f"{address}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_sigterm_answers_what_is_in_flight_and_takes_no_more(model_folder, classifier, photos):
    with started(model_folder, "--max-wait-ms", 4000, "--dtype", "float32") as (process, address):
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(InferenceClient(address).image_classification, photo) for photo in photos[:3]]
            until(lambda: "photos_under_way 3.0" in httpx.get(f"{address}/metrics").text)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/health")
            assert not any(each.done() for each in waiting)
            for found, photo in zip(waiting, photos, strict=False):
                same(found.result(), classifier(str(photo)))
        until(lambda: process.poll() is not None)
        printed = process.communicate(5)
    assert process.returncode in {0, -signal.SIGTERM}
    assert f"Serving {model_folder} on {address}" in printed[0] and "Traceback" not in printed[1]


@pytest.mark.slow
def test_one_worker_of_two_may_be_killed(model_folder, classifier, photos):
    with started(model_folder, "--workers", 2) as (process, address):
        supervisor = psutil.Process(process._process.pid)
        ask = InferenceClient(address).image_classification
        until(lambda: len(workers(supervisor)) == 2, 60)
        victim = answering(supervisor, address)
        victim.kill()
        found = []
        for number in range(20):
            try:
                found.append((number % 10, ask(photos[number % 10])))
            except httpx.HTTPError:
                assert number == 0  # it was the killed one's
        assert len(found) >= 19
        for number, labels in found:
            same(labels, classifier(str(photos[number])))
        until(lambda: len(workers(supervisor)) == 2, 60)
        assert victim.pid not in {each.pid for each in workers(supervisor)}
        text = httpx.get(f"{address}/metrics").text
        assert 'wordsight_requests_total{status="200"}' in text  # of all workers together
        left, loaded = workers(supervisor), answering(supervisor, address)
        process.send_signal(signal.SIGKILL)
        assert not psutil.wait_procs([loaded], timeout=60)[1]  # it does not go on without its supervisor
        for each in {*left} - {loaded}:
            each.kill()


def test_what_a_dead_worker_said_is_under_way_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv(SHARED_FOLDER, str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        for kind in ("gauge_livesum", "counter"):
            (tmp_path / f"{kind}_{pid}.db").touch()
    forget_dead_workers()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"counter_{dead.pid}.db", f"counter_{os.getpid()}.db", f"gauge_livesum_{os.getpid()}.db"}


def workers(supervisor):
    found = []
    for child in supervisor.children():
        with contextlib.suppress(psutil.Error):  # one that has just died
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def answering(supervisor, address):
    """A worker that answers: the others may still be loading."""
    with httpx.Client() as client:
        answer = client.get(f"{address}/health")
        here = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
        for each in workers(supervisor):
            if any(connection.raddr and connection.raddr.port == here for connection in each.net_connections()):
                return each
    raise AssertionError("no worker has the connection")


def test_half_precision_gives_nearly_the_same_scores(model_folder, classifier, photos):
    half = Served(str(model_folder), dtype="bfloat16", device="cpu").load()
    with TestClient(make_app(half)) as client:
        found = client.post("/", content=photos[0].read_bytes()).json()
    expected = {entry["label"]: entry["score"] for entry in classifier(str(photos[0]))}
    assert half.dtype == torch.bfloat16
    assert {entry["label"]: pytest.approx(entry["score"], abs=0.05) for entry in found} == expected


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.delitem(sys.modules, "wordsight.serving.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wordsight\[serve\]'"):
        wordsight(["serve", "nowhere"], prog_name="wordsight", standalone_mode=False)


def test_the_images_command_is_one():
    """Docker is not at hand: what can be told without it."""
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    words = json.loads(re.search(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)[1])
    check_command([*words, "/model"])
    assert f"EXPOSE {words[-1]}\n" in dockerfile and f":{words[-1]}/health" in dockerfile


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "'nowhere' can't be loaded"),
        (["nowhere", "--workers", "2"], "'nowhere' can't be loaded"),
        (["{model}", "--device", "toaster"], "The device 'toaster' can't be used"),
        (["{model}", "--dtype", "int3"], "There is no dtype 'int3'. Choose one of auto, float32"),
        (["{model}", "--host", "256.1.1.1"], "Can't listen on 256.1.1.1"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments, said, model_folder):
    given = [each.format(model=model_folder) for each in arguments]
    with pytest.raises(InvalidInputError, match=said):
        wordsight(["serve", *given, "--port", "0"], prog_name="wordsight", standalone_mode=False)


def test_a_port_in_use(model_folder, server):
    with pytest.raises(
        InvalidInputError, match=f"port {server.port}: Address already in use. Use another --host or --port"
    ):
        wordsight(["serve", str(model_folder), "--port", str(server.port)], standalone_mode=False)
    assert os.environ.get("WORDSIGHT_SERVING") is None
