"""`wordsight serve` as a process: it starts, stops, and survives the death of a worker."""

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import psutil
import pytest
from huggingface_hub import InferenceClient

from tests.fixtures.app import free_port
from tests.fixtures.process import Started
from tests.serving.test_app import same
from tests.serving.test_faults import until
from wordsight.cli import app as wordsight
from wordsight.utils.errors import InvalidInputError


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
    with started(model_folder, "--max-wait-ms", 1500, "--dtype", "float32") as (process, address):
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
