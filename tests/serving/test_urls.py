"""Photos by URL: whom a server fetches from, and whom never."""

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import httpx2 as httpx
import pytest

from tests.serving.conftest import serving
from tests.serving.test_app import error_of, same
from wordsight.serving.urls import PublicTransport, is_public

OPEN, CLOSED = "127.0.0.2", "127.0.0.1"  # the first stands for the internet


class Site(BaseHTTPRequestHandler):
    """Has a photo, redirects, and a file that does not end; counts its requests."""

    photo, seen, inside = b"", [], ""

    def do_GET(self):
        self.seen.append((self.server.server_address[0], self.path, self.headers["Host"]))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.inside if self.path == "/to/inside" else "/photo.jpg")
            self.end_headers()
        elif self.path == "/photo.jpg":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.photo)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                try:
                    self.wfile.write(bytes(10_000))
                except OSError:
                    return
        else:
            self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def sites(photos):
    """Two sites, on an address that the server may fetch from and on one that it may not."""
    servers = [ThreadingHTTPServer((host, 0), Site) for host in (OPEN, CLOSED)]
    for each in servers:
        threading.Thread(target=each.serve_forever, daemon=True).start()
    addresses = [f"http://{each.server_address[0]}:{each.server_address[1]}" for each in servers]
    Site.photo, Site.inside = photos[1].read_bytes(), f"{addresses[1]}/photo.jpg"
    yield addresses
    for each in servers:
        each.shutdown()
        each.server_close()


@pytest.fixture(scope="module")
def fetching(classifier):
    transport = partial(PublicTransport, lambda address: str(address) == OPEN)
    with serving(classifier, transport=transport, allow_urls=True, max_body_mb=0.5) as running:
        yield running


def ask(server, *urls):
    return httpx.post(server.address, json={"inputs": urls[0] if len(urls) == 1 else list(urls)}, timeout=20)


def test_photos_are_fetched_from_allowed_addresses_with_their_redirects(fetching, sites, classifier, photos):
    expected = classifier(str(photos[1]))
    for path in ("photo.jpg", "to/photo"):
        same(ask(fetching, f"{sites[0]}/{path}").json(), expected)
    assert Site.seen[-1][2] == sites[0].removeprefix("http://")  # the name that was asked for


def test_redirects_to_other_addresses_are_not_followed(fetching, sites):
    Site.seen.clear()
    for url in (f"{sites[0]}/to/inside", f"{sites[1]}/photo.jpg"):
        answer = ask(fetching, url)
        assert answer.status_code == 422 and "'127.0.0.1' is no public address" in error_of(answer)
    assert [host for host, *_ in Site.seen] == [OPEN]


def test_names_of_this_machine_are_refused_however_they_are_written(classifier, sites):
    port = sites[1].rpartition(":")[2]
    names = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]")
    Site.seen.clear()
    with serving(classifier, allow_urls=True) as running:
        for name in names:
            answer = ask(running, f"http://{name}:{port}/photo.jpg")
            assert answer.status_code == 422 and "can't be fetched" in error_of(answer).replace("is not", "can't be")
    assert Site.seen == []


def test_what_does_not_end_or_is_not_there(fetching, sites):
    answer = ask(fetching, f"{sites[0]}/endless")
    assert answer.status_code == 413 and "larger than 0.5 MB" in error_of(answer)
    answer = ask(fetching, f"{sites[0]}/photo.jpg", f"{sites[0]}/nothing")
    assert answer.status_code == 422 and error_of(answer).startswith("Photo 2 can't be fetched: status 404")
    assert ask(fetching, "http://").status_code == 422


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "127.8.8.8", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2001:0:7f00:1::1", "2002:7f00:1::", "2002:a00:1::", "2001:db8::1"),
        *("fec0::1", "168.63.129.16"),
    ],
)
def test_private_addresses(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2002:808:808::"])
def test_public_addresses(address):
    assert is_public(ip_address(address))
