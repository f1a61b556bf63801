"""What clients do wrong: they hang up, are slow, and send what is no photo. The server stays as it was."""

import base64
import io
import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest

from tests.serving.conftest import held_up, serving, until
from tests.serving.test_app import error_of, same
from wordsight.serving import protocol

BAD_BODIES = 1000


def healthy(server, classifier, photos):
    answer = httpx.post(server.address, content=photos[0].read_bytes())
    same(answer.json(), classifier(str(photos[0])))
    assert httpx.get(f"{server.address}/health").status_code == 200


def start_request(server, photo, *, length=None):
    """A connection on which a photo was sent, or the beginning of one."""
    content = photo.read_bytes()
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length or len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    return connection


def test_who_hangs_up_is_not_worked_for(classifier, photos):
    with serving(classifier, batch_size=1) as running:
        with ThreadPoolExecutor(2) as pool, held_up(classifier) as (entered, _):
            first = pool.submit(httpx.post, running.address, content=photos[0].read_bytes())
            assert entered.wait(10)
            gone = [start_request(running, photo) for photo in photos[1:9]]
            last = pool.submit(httpx.post, running.address, content=photos[9].read_bytes())
            until(lambda: running.service._under_way == 10)
            for connection in gone:
                connection.close()
            until(lambda: running.service._under_way == 2)
        same(first.result().json(), classifier(str(photos[0])))
        same(last.result().json(), classifier(str(photos[9])))
        assert running.service.metrics.photos._value.get() == 3  # with the one at the start


def test_a_model_that_fails_says_so_and_goes_on(server, classifier, photos):
    def fail(*_):
        raise RuntimeError("out of memory")

    hook = classifier.model.register_forward_pre_hook(fail)
    answer = httpx.post(server.address, content=photos[0].read_bytes())
    hook.remove()
    assert answer.status_code == 500 and error_of(answer) == "The server failed; its log says why."
    healthy(server, classifier, photos)


def test_who_hangs_up_half_way_leaves_nothing_behind(server, classifier, photos):
    for _ in range(20):
        start_request(server, photos[0], length=10**6).close()
    until(lambda: server.service._under_way == 0)
    healthy(server, classifier, photos)


def test_slow_clients_are_let_go_and_hold_up_nobody(classifier, photos, monkeypatch):
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 2)
    with serving(classifier, timeout=2) as running:
        silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(30)]
        for connection in silent[10:20]:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        for connection in silent[20:]:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        start = time.monotonic()
        healthy(running, classifier, photos)
        assert time.monotonic() - start < 2
        for number, connection in enumerate(silent):
            connection.settimeout(5)
            while number < 20 and time.monotonic() - start < 1:
                connection.sendall(b"" if number < 10 else b"a")
                time.sleep(0.05)
            said = connection.recv(10_000)
            assert said.startswith(b"HTTP/1.1 408") if number >= 20 else said == b""
        healthy(running, classifier, photos)


def test_a_slow_second_request_of_a_connection_is_let_go_too(classifier, photos, monkeypatch):
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 1)
    with serving(classifier) as running, start_request(running, photos[0]) as connection:
        connection.settimeout(5)
        assert connection.recv(100_000).startswith(b"HTTP/1.1 200")
        time.sleep(1.3)  # uvicorn's own limit for idle connections is longer
        connection.sendall(b"POST / HTTP/1.1\r\n")
        assert connection.recv(10_000) == b""


def bad_requests(photo, seed=0):
    """Requests that are wrong in many ways, as keyword arguments of httpx.post."""
    drawn = random.Random(seed)
    good = base64.b64encode(photo).decode()
    as_json = {"headers": {"Content-Type": "application/json"}}
    values = [None, True, -1, 0, 1.5, 10**30, "", "x", [], {}, [[]], "NaN", "\ud800", "\x00", {"inputs": good}]

    def damaged():
        content = bytearray(photo)
        for _ in range(drawn.randint(1, 20)):
            content[drawn.randrange(min(40, len(content)))] = drawn.randrange(256)
        return {"content": bytes(b"\x00" + content)}

    def wrong_parameter():
        name = drawn.choice(["top_k", "threshold", "function_to_apply", "tiles", "output_heatmaps", "color"])
        wrong = drawn.choice([-1, "x", [1], {}, 1e400, "\x00"])
        return {"content": json.dumps({"inputs": good, "parameters": {name: wrong}}), **as_json}

    kinds = [
        lambda: {"content": drawn.randbytes(drawn.randint(0, 2000))},
        lambda: {"content": photo[: drawn.randint(0, len(photo) // 2)]},
        damaged,
        lambda: {"content": drawn.randbytes(drawn.randint(0, 500)), **as_json},
        lambda: {"content": json.dumps(drawn.choice(values[:-1])), **as_json},
        lambda: {"content": json.dumps({"inputs": drawn.choice(values)}), **as_json},
        lambda: {"content": json.dumps({"inputs": [good, drawn.choice(values)]}), **as_json},
        lambda: {"content": json.dumps({"inputs": good[: drawn.randint(0, len(good) // 2)]}), **as_json},
        lambda: {"content": json.dumps({"inputs": good})[: -drawn.randint(1, len(good))], **as_json},
        lambda: {"content": "[" * drawn.randint(1, 100_000), **as_json},
        lambda: {"content": f'{{"inputs": {"1" * drawn.randint(1, 5000)}}}', **as_json},
        wrong_parameter,
        lambda: {"content": photo, "params": {"top_k": drawn.choice(["-1", "x", "0", "1e9", "\x00"])}},
        lambda: {"content": photo, "headers": {"Content-Type": "multipart/form-data"}},
        lambda: {
            "content": drawn.randbytes(200),
            "headers": {
                "Content-Type": drawn.choice([b"multipart/form-data; boundary=x", b"multipart/form-data; b=\xff"])
            },
        },
        lambda: {"files": {"inputs": drawn.randbytes(drawn.randint(0, 300))}},
        lambda: {"files": {"inputs": photo}, "data": {"top_k": drawn.choice(["x", "-1"]), "more": "1"}},
        lambda: {"content": b"\xff\xd8\xff" + drawn.randbytes(300)},
        lambda: {"content": b"\x89PNG\r\n\x1a\n" + drawn.randbytes(300)},
        lambda: {"content": b"RIFF\x00\x01\x00\x00WEBP" + drawn.randbytes(300)},
        lambda: {"content": b"II*\x00\x08\x00\x00\x00" + drawn.randbytes(300)},
        lambda: {"content": b"GIF89a" + drawn.randbytes(300)},
        lambda: {"content": b"BM" + drawn.randbytes(300)},
    ]
    return [kinds[number % len(kinds)]() for number in range(BAD_BODIES)]


def test_a_thousand_bad_requests_are_refused_in_words(server, classifier, photos):
    with httpx.Client(base_url=server.address, timeout=20) as client:
        for number, request in enumerate(bad_requests(photos[0].read_bytes())):
            answer = client.post("/", **request)
            # A damaged photo may still be one: Pillow reads what is left.
            assert 400 <= answer.status_code < 500 or is_readable(request), (number, request, answer.text)
            if answer.status_code != 200:
                assert len(error_of(answer).splitlines()) == 1
    healthy(server, classifier, photos)


def is_readable(request):
    from wordsight.pipelines.image_io import UNREADABLE, decode_photo

    try:
        return bool(decode_photo(io.BytesIO(request["content"]).getvalue()))
    except (KeyError, TypeError, *UNREADABLE):
        return False


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 5000]
)
def test_what_is_no_http(server, classifier, photos, sent):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(5)
        connection.sendall(sent)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 400")
    healthy(server, classifier, photos)
