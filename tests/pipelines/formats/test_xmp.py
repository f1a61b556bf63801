"""Keywords in photos: what was there stays, pixels too; twice is once; originals are touched only when asked."""

import resource
import shutil
import subprocess
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.fixtures.predictions import LABELS, make_predictions
from wordsight.pipelines.formats.xmp import write_xmp
from wordsight.pipelines.formats.xmp_files import get_xmp, put_xmp
from wordsight.pipelines.formats.xmp_packet import read_keywords, with_keywords
from wordsight.utils.errors import InvalidInputError, WordsightError

LIGHTROOM = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:crs="http://ns.adobe.com/camera-raw/1.0/"
 xmp:Rating="4"><crs:Exposure>0.5</crs:Exposure></rdf:Description><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>Urlaub</rdf:li><rdf:li>cat</rdf:li></rdf:Bag>
</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def predictions(tmp_path):
    return make_predictions(tmp_path)


SEQ = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Seq><rdf:li>cat</rdf:li>
</rdf:Seq></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.*")}


def test_what_a_packet_holds_stays_and_nothing_is_twice():
    once = with_keywords(LIGHTROOM, ["cat", "dog", "dog", "<&>"])
    assert read_keywords(once) == ["Urlaub", "cat", "dog", "<&>"]
    assert b'xmp:Rating="4"' in once
    assert b"<crs:Exposure>0.5</crs:Exposure>" in once
    assert with_keywords(once, ["dog", "cat"]) == once


def test_a_list_of_another_kind_is_continued():
    written = with_keywords(SEQ, ["dog"])
    assert read_keywords(written) == ["cat", "dog"]
    assert (written.count(b"<rdf:Seq>"), written.count(b"<rdf:Bag>")) == (1, 0)


def png_chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_packet_behind_the_pixels_of_a_png_stays(is_compressed, tmp_path):
    Image.new("RGB", (9, 9), "teal").save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    text = zlib.compress(LIGHTROOM) if is_compressed else LIGHTROOM
    late = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([is_compressed, 0]) + b"en\0XMP\0" + text)
    end = content.index(b"IEND") - 4
    written = put_xmp(content, with_keywords(get_xmp(content[:end] + late + content[end:]), ["dog"]))
    (tmp_path / "a.png").write_bytes(written)
    with Image.open(tmp_path / "a.png") as image:
        assert read_keywords(image.info["xmp"]) == ["Urlaub", "cat", "dog"]
        assert b'xmp:Rating="4"' in image.info["xmp"]


def test_a_file_with_two_packets_is_left_alone(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg", xmp=LIGHTROOM)
    content = (tmp_path / "a.jpg").read_bytes()
    segment = content[content.index(b"http://ns.adobe.com/xap/1.0/") - 4 :][: 4 + 29 + len(LIGHTROOM)]
    with pytest.raises(InvalidInputError, match="its file has 2 XMP packets"):
        get_xmp(content[:2] + segment + content[2:])
    # Any number of fill bytes may stand before a segment.
    assert get_xmp(content[:2] + b"\xff\xff" + content[2:]) == LIGHTROOM


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_file_that_is_cut_off_anywhere_is_damaged_or_gets_the_packet(suffix, tmp_path):
    options = {"xmp": LIGHTROOM} if suffix != "png" else holding(LIGHTROOM, "png")
    Image.new("RGB", (9, 9)).save(tmp_path / f"a.{suffix}", **options)
    content = (tmp_path / f"a.{suffix}").read_bytes()
    for length in range(12, len(content), 7):
        with suppress(InvalidInputError):
            get_xmp(content[:length])
            assert LIGHTROOM in put_xmp(content[:length], LIGHTROOM)


def test_sidecars_stand_beside_photos_that_stay_as_they_are(predictions, tmp_path):
    before = bytes_of(predictions.root)
    (predictions.root / "a.jpg.xmp").write_bytes(LIGHTROOM)
    for _ in range(2):
        told = write_xmp(predictions, tmp_path / "out")
    assert told == f"3 photos with keywords in {predictions.root}, 3 of them in sidecar files"
    after = bytes_of(predictions.root)
    assert before.items() <= after.items()
    assert {path.name for path in after.keys() - before.keys()} == {"a.jpg.xmp", "b é.jpg.xmp", "turned.jpg.xmp"}
    assert read_keywords((predictions.root / "a.jpg.xmp").read_bytes()) == ["Urlaub", "cat", "dog"]


def test_copies_have_the_keywords_and_the_originals_do_not(predictions, tmp_path):
    before = bytes_of(predictions.root)
    for _ in range(2):
        write_xmp(predictions, tmp_path / "out", "copies")
    assert bytes_of(predictions.root) == before
    for name, found in LABELS.items():
        packet = get_xmp((tmp_path / "out/photos" / name).read_bytes())
        assert (packet is None) if not found else (read_keywords(packet) == list(found))


def test_in_place_keeps_the_time_and_writes_a_sidecar_where_a_file_holds_none(predictions, tmp_path):
    path = predictions.root / "a.jpg"
    Image.open(path).save(path, "BMP")
    time = (predictions.root / "sub/turned.jpg").stat().st_mtime_ns
    assert "1 of them in sidecar files" in write_xmp(predictions, tmp_path / "out", "in-place")
    assert read_keywords((predictions.root / "a.jpg.xmp").read_bytes()) == ["dog", "cat"]
    turned = predictions.root / "sub/turned.jpg"
    assert read_keywords(get_xmp(turned.read_bytes())) == ["cat"]
    assert turned.stat().st_mtime_ns == time
    assert Image.open(turned).getexif()[0x0112] == 6


def test_a_copy_that_was_cut_off_is_made_again(predictions, tmp_path):
    """A limit of files' size ends the copy halfway, as a full disk does."""
    whole = (predictions.root / "a.jpg").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, limits[1]))
    try:
        with pytest.raises(WordsightError, match=r"out/photos/a.jpg can't be written"):
            write_xmp(predictions, tmp_path / "out", "copies")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    write_xmp(predictions, tmp_path / "out", "copies")
    with Image.open(tmp_path / "out/photos/a.jpg") as copy, Image.open(predictions.root / "a.jpg") as given:
        np.testing.assert_array_equal(np.array(copy), np.array(given))


def test_a_linked_photo_stays_a_link_and_the_original_gets_the_keywords(predictions, tmp_path):
    original = tmp_path / "elsewhere.jpg"
    (predictions.root / "a.jpg").rename(original)
    (predictions.root / "a.jpg").symlink_to(original)
    write_xmp(predictions, tmp_path / "out", "in-place")
    assert (predictions.root / "a.jpg").is_symlink()
    assert read_keywords(get_xmp(original.read_bytes())) == ["dog", "cat"]


def test_the_file_that_cannot_be_written_is_named(predictions, tmp_path):
    (predictions.root / ".a.jpg.xmp.partial").mkdir()
    with pytest.raises(WordsightError, match=r"photos/a.jpg.xmp can't be written: Is a directory"):
        write_xmp(predictions, tmp_path / "out")


def test_a_label_that_xml_does_not_allow_is_named_and_the_photo_left_alone(tmp_path):
    predictions = make_predictions(tmp_path, {"cat": "cat\x0b"})
    with pytest.warns(UserWarning, match=r"a.jpg gets no keywords: its label 'cat\\x0b' has the character '\\x0b'"):
        told = write_xmp(predictions, tmp_path / "out")
    assert told.startswith("1 photo with keywords in ")
    assert [path.name for path in predictions.root.rglob("*.xmp")] == ["b é.jpg.xmp"]


def test_a_damaged_packet_is_named_and_left_alone(predictions, tmp_path):
    damaged = predictions.root / "a.jpg.xmp"
    damaged.write_bytes(b"<x:xmpmeta")
    with pytest.warns(UserWarning, match=r"a.jpg gets no keywords: its XMP is damaged"):
        told = write_xmp(predictions, tmp_path / "out")
    assert told.startswith("2 photos")
    assert damaged.read_bytes() == b"<x:xmpmeta"


def holding(packet, suffix):
    """What Pillow is told to save it with."""
    if suffix != "png":
        return {"xmp": packet}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    return {"pnginfo": info}


@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [
        ("jpg", "RGB", {"quality": 80, "progressive": True, "comment": "mine"}),
        ("png", "RGBA", {}),
        ("webp", "RGBA", {"lossless": True}),
        ("webp", "RGB", {"exif": Image.Exif()}),
    ],
)
@pytest.mark.parametrize("there", [None, LIGHTROOM], ids=["new", "there"])
def test_pixels_and_the_rest_of_a_file_stay(suffix, mode, options, there, tmp_path):
    path = tmp_path / f"photo.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, len(mode)), dtype=np.uint8)
    Image.fromarray(pixels, mode).save(path, **options | (holding(there, suffix) if there else {}))
    before = np.array(Image.open(path))
    written = put_xmp(path.read_bytes(), with_keywords(get_xmp(path.read_bytes()), ["dog"]))
    (tmp_path / f"written.{suffix}").write_bytes(written)
    with Image.open(tmp_path / f"written.{suffix}") as image:
        np.testing.assert_array_equal(np.array(image), before)
        assert image.info.get("comment") == Image.open(path).info.get("comment")
    assert read_keywords(get_xmp(written)) == (["Urlaub", "cat", "dog"] if there else ["dog"])
    assert put_xmp(written, get_xmp(written)) == written
    exiftool = shutil.which("exiftool")  # the tool of the trade, where it is installed
    if exiftool:
        told = subprocess.run(
            [exiftool, "-validate", "-warning", "-a", "-s3", "-XMP-dc:Subject", tmp_path / f"written.{suffix}"],
            capture_output=True,
            text=True,
        )
        assert told.stdout.splitlines()[0] == "OK", told
