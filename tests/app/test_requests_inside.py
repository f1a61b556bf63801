"""What strangers can make the app's machine read: no address of its own network, and no file of its own."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.fixtures.app import free_port
from wordsight.app import launch_app, make_app
from wordsight.example_photos import example_photos


class Inside(BaseHTTPRequestHandler):
    """A site with a photo, on an address that only this machine should reach."""

    photo, seen = b"", []

    def do_GET(self):
        self.seen.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.photo)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def inside():
    Inside.photo = Path(example_photos()[0]).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Inside)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def running(model, urls):
    page = make_app(str(model), urls=urls)
    try:
        yield page, launch_app(page, port=free_port(), wait=False)
    finally:
        page.close(verbose=False)


def called(page, address, function, data):
    """What a function of the app answers to a request that no browser would make: its last message."""
    (number,) = [number for number, found in page.fns.items() if found.name == function]
    asked = {"fn_index": number, "data": data, "session_hash": f"{function}-{hash(str(data))}"}
    httpx.post(f"{address}gradio_api/queue/join", json=asked, timeout=30).raise_for_status()
    with httpx.stream("GET", f"{address}gradio_api/queue/data", params=asked, timeout=60) as answers:
        for line in answers.iter_lines():
            if line.startswith("data:") and json.loads(line[5:])["msg"] == "process_completed":
                return json.loads(line[5:])
    raise AssertionError("no answer")


def test_addresses_and_files_inside_are_not_read(vllm_server, stock_model, inside):
    """By the endpoint for programs and by the page's own; `vllm_server` only for the worker that has the model."""
    secret = stock_model / "config.json"
    file = {"meta": {"_type": "gradio.FileData"}, "orig_name": "photo.jpg"}
    with running(stock_model, urls=False) as (page, address):
        for path in (f"{inside}/photo.jpg", str(secret), f"file://{secret}", "http://169.254.169.254/latest/meta-data"):
            for given in ({"path": path}, {"path": path, "url": path}):
                assert not called(page, address, "label", [file | given, str(stock_model), 0, 3])["success"], given
                answer = called(page, address, "label_files", [[file | given], str(stock_model), 0, 3])
                assert not answer["success"], given
        answer = called(page, address, "label_url", [f"{inside}/photo.jpg", str(stock_model), 0, 3])
        assert not answer["success"] and "https://" in answer["output"]["error"]
        assert Inside.seen == []
    with running(stock_model, urls=True) as (page, address):  # on this machine alone, where the field is offered
        assert called(page, address, "label_url", [f"{inside}/photo.jpg", str(stock_model), 0, 3])["success"]
        assert Inside.seen == ["/photo.jpg"]
