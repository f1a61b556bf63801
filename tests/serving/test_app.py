"""The server as clients see it: the Hub's own client, JSON, forms, limits, and who may ask."""

import asyncio
import base64
import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from unittest.mock import patch

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

from tests.serving.conftest import held_up, serving, until
from wordsight.serving import app as app_module
from wordsight.serving import labeling


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def same(found, expected):
    """The same labels with the same scores, but for the roundings of another batch size."""
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    assert np.allclose([e["score"] for e in found], [e["score"] for e in expected], atol=1e-5)


def error_of(answer):
    content = answer.json()
    assert list(content) == ["error"] and content["error"]
    return content["error"]


def picture(width, height, kind="PNG"):
    content = BytesIO()
    Image.new("RGB", (width, height)).save(content, kind)
    return content.getvalue()


def test_the_hubs_client_gets_the_pipelines_labels(server, classifier, photos):
    client = InferenceClient(base_url=server.address)
    for photo in photos[:3]:
        expected = classifier(str(photo))
        for given in (str(photo), photo, photo.read_bytes()):
            same(client.image_classification(given), expected)
        same(client.image_classification(str(photo), top_k=2), expected[:2])
        raw = classifier(str(photo), function_to_apply="none")
        same(client.image_classification(photo, model=server.address, function_to_apply="none"), raw)


def test_the_hubs_asynchronous_client_too(server, classifier, photos):
    async def ask():
        client = AsyncInferenceClient(server.address)
        return await asyncio.gather(*(client.image_classification(str(photo), top_k=3) for photo in photos))

    for found, photo in zip(asyncio.run(ask()), photos, strict=True):
        same(found, classifier(str(photo), top_k=3))


def test_errors_reach_who_uses_the_hubs_client(server):
    with pytest.raises(HfHubHTTPError, match=r"The photo can't be read as an image \(not in a format that Pillow"):
        InferenceClient(server.address).image_classification(b"no photo")
    with pytest.raises(HfHubHTTPError, match=r"parameters\.top_k: Input should be greater than or equal to 1"):
        InferenceClient(server.address).image_classification(picture(9, 9), top_k=0)


def test_requests_of_many_connections_share_batches(classifier, photos):
    with serving(classifier, max_wait_ms=200) as running:
        before = running.service.metrics.batches._sum.get()
        with ThreadPoolExecutor(16) as pool:
            client = InferenceClient(running.address)
            asked = photos * 3
            found = list(pool.map(lambda photo: client.image_classification(str(photo)), asked))
        for labels, photo in zip(found, asked, strict=True):
            same(labels, classifier(str(photo)))
        text = httpx.get(f"{running.address}/metrics").text
    figures = dict(re.findall(r"^(wordsight_[\w{}\"=]+) (\S+)$", text, re.MULTILINE))
    assert float(figures["wordsight_photos_total"]) == before + len(asked)
    assert float(figures["wordsight_batch_size_count"]) <= 1 + len(asked) / 2
    assert float(figures['wordsight_requests_total{status="200"}']) == len(asked)
    assert float(figures["wordsight_photos_under_way"]) == 0


def test_several_photos_as_json_and_as_a_form(server, classifier, photos):
    expected = [classifier(str(photo), top_k=2, threshold=0.01) for photo in photos[:4]]
    parameters = {"top_k": 2, "threshold": 0.01}
    body = {"inputs": [encoded(photo) for photo in photos[:4]], "parameters": parameters}
    files = [("inputs", (photo.name, photo.read_bytes())) for photo in photos[:4]]
    for answer in (
        httpx.post(server.address, json=body),
        httpx.post(server.address, files=files, data={key: str(value) for key, value in parameters.items()}),
        httpx.post(server.address, files=files, params=parameters),
    ):
        assert answer.status_code == 200
        for found, wanted in zip(answer.json(), expected, strict=True):
            same(found, wanted)


def test_one_photo_in_each_way(server, classifier, photos):
    expected = classifier(str(photos[0]), top_k=1)
    content = photos[0].read_bytes()
    url = f"data:image/png;base64,{encoded(photos[0])}"
    for given in (
        {"json": {"inputs": encoded(photos[0]), "parameters": {"top_k": 1}}},
        {"json": {"inputs": url}, "params": {"top_k": 1}},
        {"content": content, "params": {"top_k": 1}},
        {"content": content, "params": {"top_k": 1}, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": iter([content[:50], content[50:]]), "params": {"top_k": 1}},
    ):
        same(httpx.post(server.address, **given).json(), expected)
    listed = httpx.post(server.address, json={"inputs": [encoded(photos[0])], "parameters": {"top_k": 1}}).json()
    same(listed[0], expected)
    assert len(listed) == 1


def test_heat_maps_and_tiles_are_those_of_the_pipeline(server, classifier, photos):
    for tiles in ("off", "auto"):
        expected = classifier(str(photos[0]), top_k=2, tiles=tiles, output_heatmaps=True)
        body = {"inputs": encoded(photos[0]), "parameters": {"top_k": 2, "tiles": tiles, "output_heatmaps": True}}
        # Photos with and without are in one batch.
        with ThreadPoolExecutor(4) as pool:
            plain = [pool.submit(httpx.post, server.address, content=photos[0].read_bytes()) for _ in range(3)]
            found = pool.submit(httpx.post, server.address, json=body).result().json()
        same(found, expected)
        for entry, wanted in zip(found, expected, strict=True):
            sent = Image.open(BytesIO(base64.b64decode(entry["heatmap"])))
            assert sent.mode == "L" and sent.size == Image.open(photos[0]).size
            difference = np.asarray(sent, dtype=int) - np.asarray(wanted["heatmap"], dtype=int)
            assert np.abs(difference).max() <= 1
        for answer in plain:
            assert "heatmap" not in answer.result().json()[0]


def test_all_examples_of_the_openapi_page_work(server):
    described = httpx.get(f"{server.address}/openapi.json").json()
    operation = described["paths"]["/"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) == 3
    for example in examples.values():
        answer = httpx.post(server.address, json=example["value"])
        assert answer.status_code == 200 and answer.json()
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    same(httpx.post(server.address, json=examples["one photo"]["value"]).json(), shown)
    assert "swagger" in httpx.get(server.address, follow_redirects=True).text


def test_health(server, classifier):
    answer = httpx.get(f"{server.address}/health").json()
    assert answer["status"] == "ok" and answer["labels"] == len(classifier.model.config.category_names)


def test_size_and_pixels_are_limited(classifier):
    with serving(classifier, max_body_mb=0.1, max_megapixels=0.5) as running:
        for body in (bytes(200_000), iter([bytes(60_000)] * 3)):  # with and without a length
            answer = httpx.post(running.address, content=body)
            assert answer.status_code == 413 and "larger than 0.1 MB" in error_of(answer)
        answer = httpx.post(running.address, files={"inputs": bytes(200_000)})
        assert answer.status_code == 413
        for kind in ("PNG", "JPEG", "GIF"):
            answer = httpx.post(running.address, content=picture(1000, 501, kind))
            assert answer.status_code == 413 and "1000 x 501 pixels, more than 0.5 million" in error_of(answer)
        assert httpx.post(running.address, content=picture(1000, 500)).status_code == 200


def test_bombs_are_refused_before_they_are_decoded(server):
    huge = bytearray(picture(8, 8))
    for size in (9_600, 30_000):  # pixels that the header tells of; there are 64
        huge[16:24] = size.to_bytes(4, "big") * 2
        huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
        answer = httpx.post(server.address, content=bytes(huge))
        assert answer.status_code == 413 and "million" in error_of(answer)


def test_heat_maps_of_all_labels_of_a_large_photo_are_refused(server, monkeypatch):
    monkeypatch.setattr(labeling, "HEATMAP_PIXELS", 100_000)
    content, asked = picture(300, 200), {"output_heatmaps": True}
    answer = httpx.post(server.address, content=content, params=asked)
    assert answer.status_code == 422 and "smaller top_k" in error_of(answer)
    assert httpx.post(server.address, content=content, params=asked | {"top_k": 1}).status_code == 200


def test_formats_that_run_other_programs_are_not_opened(server):
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
    answer = httpx.post(server.address, content=drawing)
    assert answer.status_code == 415 and "EPS" in error_of(answer)


def test_tiny_photos_and_odd_modes_are_labeled_as_by_the_pipeline(server, classifier, tmp_path):
    for number, (mode, size) in enumerate(
        [("RGB", (1, 1)), ("L", (1, 3)), ("RGBA", (3, 3)), ("P", (50, 1)), ("1", (9, 9))]
    ):
        path = tmp_path / f"{number}.png"
        Image.new(mode, size).save(path)
        same(httpx.post(server.address, content=path.read_bytes()).json(), classifier(str(path)))
    strip = httpx.post(server.address, content=picture(500, 1))
    assert strip.status_code == 422 and "strip" in error_of(strip)


def test_files_of_the_server_are_never_read(server, photos):
    for given in (str(photos[0]), f"file://{photos[0]}", "/etc/passwd"):
        answer = httpx.post(server.address, json={"inputs": given})
        assert answer.status_code == 422 and "no base64" in error_of(answer)
    answer = httpx.post(server.address, json={"inputs": "http://127.0.0.1/photo.jpg"})
    assert answer.status_code == 422 and "--allow-urls" in error_of(answer)


def test_too_many_photos(classifier, photos):
    with serving(classifier, max_queue=3) as running:
        answer = httpx.post(running.address, json={"inputs": [encoded(photos[0])] * 4})
        assert answer.status_code == 413 and "4 photos are more than 3" in error_of(answer)
        answer = httpx.post(running.address, files=[("inputs", photos[0].read_bytes())] * 4)
        assert answer.status_code in {400, 413} and error_of(answer)


def test_a_full_queue_says_when_to_come_back_and_empties(classifier, photos):
    content = photos[0].read_bytes()
    with serving(classifier, max_queue=3, batch_size=1) as running, ThreadPoolExecutor(3) as pool:
        with held_up(classifier) as (entered, _):
            waiting = [pool.submit(httpx.post, running.address, content=content) for _ in range(3)]
            assert entered.wait(10)
            until(lambda: running.service._under_way == 3)
            answer = httpx.post(running.address, content=content)
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
            assert "3 photos are under way" in error_of(answer)
        assert [each.result().status_code for each in waiting] == [200] * 3
        assert httpx.post(running.address, content=content).status_code == 200


def test_what_all_requests_hold_together_is_limited_before_they_are_read(classifier, photos):
    content = photos[0].read_bytes()
    with (
        serving(classifier, max_body_mb=len(content) / 10**6, batch_size=1) as running,
        ThreadPoolExecutor(3) as pool,
    ):
        with held_up(classifier), patch.object(app_module, "BODIES_HELD", 2):
            waiting = [pool.submit(httpx.post, running.address, content=content) for _ in range(2)]
            until(lambda: running.service._under_way == 2)
            answer = httpx.post(running.address, content=content)
            assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
            assert "are under way already" in error_of(answer)
        assert [each.result().status_code for each in waiting] == [200] * 2
        assert httpx.post(running.address, content=content).status_code == 200


def test_the_same_app_can_be_started_again(classifier, photos):
    app = app_module.make_app(classifier)
    for _ in range(2):
        with TestClient(app) as client:
            same(client.post("/", content=photos[0].read_bytes()).json(), classifier(str(photos[0])))


def test_an_icon_is_refused_before_anything_is_decoded(server):
    icon = BytesIO()
    Image.new("RGB", (32, 32)).save(icon, "ICO")
    answer = httpx.post(server.address, content=icon.getvalue())
    assert answer.status_code == 415 and "icon" in error_of(answer)


def test_what_takes_too_long_is_504_and_is_dropped(classifier, photos):
    with serving(classifier, timeout=1.5, batch_size=1) as running:
        with ThreadPoolExecutor(2) as pool, held_up(classifier):
            answers = list(pool.map(lambda _: httpx.post(running.address, content=photos[0].read_bytes()), range(2)))
        assert [answer.status_code for answer in answers] == [504, 504]
        assert "1.5 s" in error_of(answers[0])
        seen = running.service.metrics.photos._value.get()
        assert httpx.post(running.address, content=photos[0].read_bytes()).status_code == 200
        assert running.service.metrics.photos._value.get() - seen <= 2  # one was in the model; one never came there


def test_the_key_is_asked_for(classifier, photos):
    with serving(classifier, api_key="größe") as running:
        right = {"Authorization": "Bearer größe".encode()}
        assert httpx.post(running.address, content=photos[0].read_bytes(), headers=right).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic größe".encode()}):
            answer = httpx.post(running.address, content=photos[0].read_bytes(), headers=headers)
            assert answer.status_code == 401 and "API key" in error_of(answer)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert httpx.get(f"{running.address}/metrics").status_code == 401
        assert httpx.get(f"{running.address}/health").status_code == 200
    with serving(classifier, api_key="secret") as running:
        found = InferenceClient(running.address, token="secret").image_classification(photos[0])
        same(found, classifier(str(photos[0])))
        with pytest.raises(HfHubHTTPError, match="API key is missing or wrong"):
            InferenceClient(running.address, token="other").image_classification(photos[0])


def test_what_is_nowhere_is_an_error_in_json_too(server):
    assert error_of(httpx.get(f"{server.address}/nowhere")) == "Not Found"
    assert error_of(httpx.put(server.address)) == "Method Not Allowed"
    assert json.loads(httpx.get(f"{server.address}/openapi.json").text)["info"]["title"] == "wordsight"
