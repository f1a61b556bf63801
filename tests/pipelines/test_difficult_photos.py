"""Photos that are difficult to read, through the loader, the pipeline and `wordsight predict`: read right, or named."""

import base64
import functools
import http.server
import json
import socket
import struct
import threading
import time
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.modeling.test_modeling import make_model
from wordsight.cli import app
from wordsight.example_photos import load_photos
from wordsight.pipelines.image_io import decode_photo, open_input
from wordsight.pipelines.image_loader import UNREADABLE, open_photo, photo_batches
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("difficult") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photo():
    return load_photos()["chelsea"].convert("RGB").resize((150, 100))


def content(image, kind, **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def both_ways(data, tmp_path):
    """The photo as the loader of collections opens it, and as the pipeline does: the same."""
    path = tmp_path / "photo"
    path.write_bytes(data)
    images = [open_photo(data), open_photo(path), open_input(path), open_input(base64.b64encode(data).decode())]
    with Image.open(path) as opened:
        images.append(open_input(opened))
    for image in images:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(image, images[0])
    return np.asarray(images[0], dtype=int)


@pytest.mark.parametrize(("kind", "depth"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_deep_grays_are_scaled_not_clipped(tmp_path, kind, depth):
    gray = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(depth)
    data = content(Image.fromarray(gray), kind)
    assert Image.open(BytesIO(data)).mode.startswith("I")
    found = both_ways(data, tmp_path)
    assert found.shape == (40, 60, 3) and np.abs(found[..., 0] - gray / 257).max() <= 1


def test_grays_without_a_fixed_range_are_stretched(tmp_path):
    values = np.linspace(-3, 5, 60 * 40, dtype=np.float32).reshape(40, 60)
    values[0, 1] = np.nan
    found = both_ways(content(Image.fromarray(values), "TIFF"), tmp_path)
    assert found.min() == 0 and found.max() == 255 and found[20].mean() == pytest.approx(255 / 2, abs=5)
    large = Image.fromarray(np.array([[0, 2**30], [2**29, 7]], dtype=np.int32))
    assert both_ways(content(large, "TIFF"), tmp_path)[..., 0].tolist() == [[0, 255], [128, 0]]


def test_deep_grays_are_labeled_like_shallow_ones(labeler, photo):
    gray = photo.convert("L")
    deep = Image.fromarray(np.asarray(gray, dtype=np.uint16) * 257)
    assert labeler(deep) == labeler(gray)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparent_is_white(tmp_path, mode):
    """Black that can't be seen on the left, half black in the middle (where the mode can), red or gray at the right."""
    image = Image.new("RGBA", (90, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 128), (30, 0, 60, 20))
    image.paste((200, 0, 0, 255), (60, 0, 90, 20))
    if mode == "P":
        data = content(image.quantize(8), "PNG")
    elif mode == "RGB":
        data = content(image.convert("RGB"), "PNG", transparency=(0, 0, 0))
    else:
        data = content(image.convert(mode), "PNG")
    assert Image.open(BytesIO(data)).mode == mode
    left, middle, right = both_ways(data, tmp_path)[10, [15, 45, 75]]
    assert left.tolist() == [255] * 3
    assert middle.tolist() == ([255] * 3 if mode == "RGB" else [127] * 3)
    assert right[1] < 100 and (mode == "LA" or right.tolist() == [200, 0, 0])


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "lime", "blue")]
    data = content(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert Image.open(BytesIO(data)).n_frames == 3
    assert both_ways(data, tmp_path)[15, 20].tolist() == [255, 0, 0]


def test_cmyk(tmp_path, photo):
    data = content(photo.convert("CMYK"), "JPEG", quality=95)
    assert Image.open(BytesIO(data)).mode == "CMYK"
    assert np.abs(both_ways(data, tmp_path) - np.asarray(photo, dtype=int)).mean() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_is_obeyed(tmp_path, orientation):
    """Of a photo whose quarters differ, by what the eight values mean (EXIF 2.3, 4.6.4)."""
    quarters = np.array([[0, 1], [2, 3]])
    upright = Image.fromarray(np.kron(quarters * 80, np.ones((40, 60))).astype(np.uint8)).convert("RGB")
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](np.asarray(upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = content(Image.fromarray(np.ascontiguousarray(stored)), "JPEG", exif=exif, quality=95)
    found = both_ways(data, tmp_path)
    assert found.shape[:2] == (80, 120)
    assert [round(found[y, x, 0] / 80) for y in (20, 60) for x in (30, 90)] == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def large_jpeg(tmp_path_factory):
    """100 megapixels: black, with a white right half, and so many that Pillow warns."""
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    image = Image.new("L", (12500, 8000))
    image.paste(255, (6250, 0, 12500, 8000))
    image.save(path)
    return path


def test_100_megapixels(labeler, large_jpeg):
    small = Image.new("RGB", (1250, 800))
    small.paste("white", (625, 0, 1250, 800))
    expected = {entry["label"]: entry["score"] for entry in labeler(small)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = labeler(large_jpeg, output_heatmaps=True, top_k=4)
    assert labels[0]["heatmap"].size == (6250, 4000), "decoded at half its size, which is not below 2048"
    assert {entry["label"]: entry["score"] for entry in labels} == pytest.approx(expected, abs=0.02)


def claims(data, width, height):
    """The same file, whose header claims another size."""
    if data[:4] == b"\x89PNG":
        header = data[12:16] + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_bombs_are_refused_in_one_line(tmp_path, photo, kind):
    bomb = tmp_path / f"bomb.{kind.lower()}"
    bomb.write_bytes(claims(content(photo, kind), 60000, 50000))
    with pytest.raises(
        InvalidInputError, match=r"bomb.*too large to be opened safely.*3000000000.*MAX_IMAGE"
    ) as caught:
        open_input(bomb)
    assert "\n" not in str(caught.value)
    with pytest.raises(UNREADABLE):
        open_photo(bomb)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_truncated_and_corrupt_files_are_named(labeler, tmp_path, photo, kind):
    whole = content(photo, kind)
    path = tmp_path / "torn.jpg"
    for data in (whole[: len(whole) // 2], whole[:20], whole[:3]):
        path.write_bytes(data)
        with pytest.raises(InvalidInputError, match=r"torn\.jpg.*can't be read as an image") as caught:
            labeler(path)
        assert "\n" not in str(caught.value)


def test_loader_reports_what_the_pipeline_refuses(labeler, tmp_path, photo):
    torn = content(photo, "JPEG")[:-500]
    bomb = claims(content(photo, "JPEG"), 60000, 50000)
    (batch,) = photo_batches([torn, bomb, b"\xff\xd8\xffnothing", content(photo, "PNG")], labeler.image_processor, 4)
    assert batch.rows == [3] and sorted(batch.unreadable) == [0, 1, 2]
    assert "truncated" in batch.unreadable[0] and "3000000000 pixels" in batch.unreadable[1]
    assert batch.unreadable[2] == "not in a format that Pillow reads"


@pytest.fixture
def silent():
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/photo.jpg"


def test_address_that_does_not_answer(labeler, silent):
    started = time.monotonic()
    with pytest.raises(InvalidInputError, match=r"^http://127.*photo\.jpg does not answer within 0\.3 s.*download"):
        labeler(silent, timeout=0.3)
    assert time.monotonic() - started < 5


def test_there_is_a_timeout_by_default(labeler, silent, monkeypatch):
    monkeypatch.setattr("wordsight.pipelines.image_io.URL_TIMEOUT", 0.2)
    with pytest.raises(InvalidInputError, match=r"does not answer within 0\.2 s"):
        labeler(silent)


def test_addresses_without_a_photo(labeler, tmp_path):
    (tmp_path / "page.html").write_text("<p>no photo</p>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(InvalidInputError, match=rf"^{address}/gone\.jpg returned status 404\. Check the address"):
            labeler(f"{address}/gone.jpg")
        with pytest.raises(InvalidInputError, match=r"page\.html' can't be read as an image"):
            labeler(f"{address}/page.html")
        server.shutdown()
    with pytest.raises(InvalidInputError, match=r"gone\.jpg can't be reached \(.*refused.*Check address and network"):
        labeler(f"{address}/gone.jpg")
    with pytest.raises(InvalidInputError, match="can't be reached"):
        labeler("http://[bad/photo.jpg")


def test_other_mistakes(labeler, tmp_path):
    with pytest.raises(InvalidInputError, match=r"is a folder.*--shards"):
        labeler(tmp_path)
    with pytest.raises(InvalidInputError, match="There is no photo"):
        labeler(tmp_path / "gone.jpg")
    with pytest.raises(InvalidInputError, match="can't be read as an image"):
        labeler("cat" * 500)


def test_predict_names_what_it_skips_and_labels_the_rest(model_dir, tmp_path, photo, large_jpeg):
    deep, torn = tmp_path / "deep.png", tmp_path / "torn.jpg"
    Image.fromarray(np.asarray(photo.convert("L"), dtype=np.uint16) * 257).save(deep)
    torn.write_bytes(content(photo, "JPEG")[:2000])
    (tmp_path / "bomb.png").write_bytes(claims(content(photo, "PNG"), 60000, 50000))
    given = [str(path) for path in (deep, torn, tmp_path / "bomb.png", large_jpeg)]
    result = CliRunner().invoke(app, ["predict", str(model_dir), *given, "--json"])
    assert result.exit_code == 1 and set(json.loads(result.stdout)) == {str(deep), str(large_jpeg)}
    skipped = [line for line in result.stderr.splitlines() if line.startswith("Skipped: ")]
    assert len(skipped) == 2 and "torn.jpg" in skipped[0] and "bomb.png" in skipped[1]


def test_arrays(labeler, photo):
    gray = np.asarray(photo.convert("L"))
    expected = labeler(photo.convert("L"))
    deep = gray.astype(np.uint16) * 257
    opaque = np.dstack([gray, gray, gray, np.full_like(gray, 255)])
    for array in (gray, gray[..., None], deep, np.dstack([deep] * 3), opaque, np.stack([gray] * 3)):
        scores = {entry["label"]: entry["score"] for entry in labeler(array)}
        assert scores == pytest.approx({entry["label"]: entry["score"] for entry in expected}, abs=1e-4)
    assert labeler(np.zeros((20, 30, 4), np.uint8)) == labeler(Image.new("RGB", (30, 20), "white"))
    with pytest.raises(InvalidInputError, match=r"array of shape \(20, 30, 7\) and type float32.*\(height, width, 3\)"):
        labeler(np.zeros((20, 30, 7), np.float32))


def test_images_of_a_user_stay_as_they_are():
    image = Image.new("RGBA", (4, 4), (9, 9, 9, 0))
    decode_photo(image)
    assert image.mode == "RGBA" and image.getpixel((0, 0)) == (9, 9, 9, 0)


def test_grays_of_8_bits_in_32_stay_as_they_are():
    values = np.arange(0, 251, 10, dtype=np.int32).reshape(2, 13)
    assert np.array_equal(np.asarray(decode_photo(Image.fromarray(values)))[..., 0], values)


def test_what_is_no_number_does_not_change_the_range():
    values = np.linspace(100, 200, 12, dtype=np.float32).reshape(3, 4)
    values[0, 1] = np.nan
    decoded = np.asarray(decode_photo(Image.fromarray(values)))[..., 0]
    assert (decoded.min(), decoded.max()) == (0, 255) and decoded[0, 1] == 0


def test_a_strip_is_refused(labeler, tmp_path):
    """An encoder that scales the shorter side to 224 pixels would make gigabytes of it."""
    Image.new("RGB", (60_000, 1)).save(tmp_path / "strip.png")
    with pytest.raises(InvalidInputError, match="60000 x 1 pixels are a strip"):
        labeler(str(tmp_path / "strip.png"))
