"""The page that labels photos in the browser, in Chromium: the pipeline's labels, with nothing asked of others."""

import functools
import http.server
import json
import shutil
import subprocess
import tarfile
import threading

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.modeling.test_modeling import make_model
from wordsight.example_photos import load_photos
from wordsight.pipelines.export_web import RUNTIME, export_web
from wordsight.pipelines.loading import load_pipeline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PACKAGE = f"onnxruntime-web@{RUNTIME.split('@')[1].split('/')[0]}"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The files of onnxruntime-web that the page loads, from npm."""
    folder = tmp_path_factory.mktemp("runtime")
    if CHROMIUM is None or shutil.which("npm") is None:
        pytest.skip("no Chromium or no npm for the page's test; get them with: apt-get install chromium npm")
    packed = subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip(f"npm can't be reached for {PACKAGE}: {packed.stderr.strip()[:100]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as tar:
        for name in FILES:
            (folder / name).write_bytes(tar.extractfile(f"package/dist/{name}").read())
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("web") / "model"
    names = ["cat", "<b>dog</b>", "car", "wine glass"]
    groups = {"attribute_groups": [names], "cooccurrence_groups": [names]}
    make_model(str(tiny_clip_dir), id2label=dict(enumerate(names)), **groups).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def site(runtime, model_dir, tmp_path_factory):
    """The folder, behind a plain static server."""
    folder = tmp_path_factory.mktemp("web") / "page"
    assert export_web(str(model_dir), folder, runtime="./ort/ort.wasm.min.mjs") == folder / "index.html"
    shutil.copytree(runtime, folder / "ort", ignore=shutil.ignore_patterns("*.tgz"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(site):
    arguments = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, chromium_sandbox=False)
        page = browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((site, "blob:", "data:")) or complaints.append(asked.url))
        page.goto(site)
        expect(page.get_by_role("status")).to_have_text("Choose a photo.", timeout=60_000)
        yield page
        assert not complaints
        browser.close()


def test_labels_are_the_pipeline_s(page, model_dir, tmp_path):
    """Of PNGs, whose pixels both decode alike: wide, upright by EXIF, and small; and of a JPEG."""
    photos = load_photos()
    turned = photos["china"].getexif()
    turned[0x0112] = 6
    files = {
        "wide.png": (photos["coffee"].crop((0, 0, 600, 250)), {}),
        "turned.jpg": (photos["china"], {"exif": turned, "quality": 95}),
        "small.png": (photos["chelsea"].resize((20, 25)), {}),
        "clear.png": (photos["rocket"].convert("RGBA").resize((90, 60)), {}),
    }
    files["clear.png"][0].putalpha(100)
    classifier = load_pipeline(str(model_dir))
    for name, (photo, options) in files.items():
        path = tmp_path / name
        photo.save(path, **options)
        page.get_by_label("Photo").set_input_files(path)
        expect(page.get_by_role("status")).to_contain_text("labels with a score")
        expected = classifier(str(path))
        shown = [row.split("\n") for row in page.get_by_role("listitem").all_inner_texts()]
        assert [row[0] for row in shown] == [entry["label"] for entry in expected], name
        scores = page.evaluate(
            "async () => (await labelPhoto(document.getElementById('photo').files[0])).map(({score}) => score)"
        )
        tolerance = 0.02 if name.endswith(".jpg") else 2e-3
        assert scores == pytest.approx([entry["score"] for entry in expected], abs=tolerance), name


def test_what_is_no_photo_is_said(page, tmp_path):
    (tmp_path / "notes.png").write_text("no photo")
    page.get_by_label("Photo").set_input_files(tmp_path / "notes.png")
    expect(page.get_by_role("status")).to_contain_text("notes.png can't be read as a photo")


def test_the_page_loads_the_runtime_from_a_cdn_by_default(model_dir, tmp_path):
    export_web(str(model_dir), tmp_path, quantize="int8")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["runtime"] == RUNTIME
    assert config["labels"][1] == "<b>dog</b>"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "index.html", "model.js", "model.onnx", "page.js",
    ]  # fmt: skip
