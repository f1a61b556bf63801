"""Odd entries of folders, archives and tables: each is a row, with an error if need be, or is told; none ends all."""

import gzip
import io
import os
import sys
import tarfile

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.modeling.test_modeling import make_model
from wordsight.pipelines.batch_inference import predict_shards
from wordsight.pipelines.image_folders import find_photos
from wordsight.pipelines.image_io import UNREADABLE, open_input, reason_of
from wordsight.pipelines.image_loader import open_photo
from wordsight.pipelines.image_sources import DamagedFileError, open_images
from wordsight.utils.errors import InvalidInputError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
FINE = (40, 30)
NOT_UTF_8 = "caf\udce9.jpg"
HEIC_ERROR = "HEIC, which Pillow reads with a plugin: pip install pillow-heif"


@pytest.fixture(autouse=True)
def no_heif_plugin(monkeypatch):
    """As on most machines; with it: test_heic.py."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


def photo(kind="PNG", color=0):
    file = io.BytesIO()
    Image.new("RGB", FINE, (color, 90, 200)).save(file, kind)
    return file.getvalue()


JPEG, PNG = photo("JPEG"), photo("PNG")


def tar_of(path, members, mode="w", **options):
    """An archive of names and contents; a `TarInfo` stands for itself."""
    with tarfile.open(path, mode, **options) as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(content or b"")
            tar.addfile(info, io.BytesIO(content) if content is not None else None)
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def rows(source, **options):
    """Name -> size of each photo, or why it can't be read."""
    found = {}
    for name, source_photo in open_images(str(source), 1, **options).read(0):
        assert name not in found
        try:
            found[name] = open_photo(source_photo).size
        except UNREADABLE as error:
            found[name] = reason_of(error)
    return found


def test_every_photo_of_an_archive_is_a_row(tmp_path):
    members = [(f"{number:03d}.jpg", JPEG) for number in range(7)]
    members += [("007.png", PNG), ("007.json", b"{}"), ("008.PNG", PNG), ("v1.0.jpg", JPEG), ("v1.1.jpg", JPEG)]
    members += [("a.jpg", JPEG), ("a.png", PNG), ("a.png", PNG), ("deep/er/b.webp", photo("WEBP")), ("plain", JPEG)]
    members += [("notes", b"of the photographer"), ("._a.jpg", b"what macOS keeps"), ("c.left.jpg", JPEG)]
    right = [f"{number:03d}" for number in range(9)]
    right += ["v1.0", "v1.1", "a", "a.png", "a.png (2)", "deep/er/b", "plain", "c.left"]
    for mode, kind in (("w", tarfile.PAX_FORMAT), ("w", tarfile.GNU_FORMAT), ("w:gz", tarfile.PAX_FORMAT)):
        assert rows(tar_of(tmp_path / "x.tar", members, mode, format=kind)) == {f"x.tar/{name}": FINE for name in right}


def test_odd_members_of_an_archive(tmp_path):
    bomb = tarfile.TarInfo("bomb.png")
    bomb.size = 10**9
    members = [
        ("a.jpg", JPEG),
        ("../../up.jpg", JPEG),
        ("/etc/rooted.jpg", JPEG),
        ("broken.jpg", JPEG[:60]),
        ("empty.png", b""),
        ("phone.HEIC", HEIC),
        (NOT_UTF_8, JPEG),
        ("line\nbreak.jpg", JPEG),
        (link("soft.jpg", "/etc/passwd"), None),
        (link("hard.jpg", "a.jpg", tarfile.LNKTYPE), None),
        (link("lost.jpg", "none.jpg", tarfile.LNKTYPE), None),
        (link("loop.jpg", "loop.jpg", tarfile.LNKTYPE), None),
        (link("folder.jpg", "", tarfile.DIRTYPE), None),
        (link("pipe.jpg", "", tarfile.FIFOTYPE), None),
        ("z.jpg", JPEG),
    ]
    found = rows(tar_of(tmp_path / "x.tar", members))
    device = "ValueError: a link or a device, not a photo"
    unlike = "not in a format that Pillow reads"
    expected = {"a": FINE, "../../up": FINE, "/etc/rooted": FINE, "empty": unlike, "phone": HEIC_ERROR}
    expected |= {"caf\\xe9": FINE, "line\nbreak": FINE, "soft": device, "hard": FINE, "lost": device, "loop": device}
    expected |= {"pipe": device, "z": FINE}
    assert "Truncated" in found.pop("x.tar/broken")
    assert found == {f"x.tar/{name}": value for name, value in expected.items()}
    assert not (tmp_path.parent / "up.jpg").exists()


def test_a_member_too_large_for_memory_is_not_read(tmp_path):
    """A sparse file takes no room in the archive, and as much memory as it says."""
    with (tmp_path / "x.tar").open("wb") as file:
        info = tarfile.TarInfo("bomb.png")
        info.size = 3 * 10**9
        file.write(info.tobuf())
        file.seek(info.size + (-info.size % 512), os.SEEK_CUR)
        after = tarfile.TarInfo("after.jpg")
        after.size = len(JPEG)
        file.write(after.tobuf() + JPEG + bytes(-len(JPEG) % 512 + 1024))
    assert rows(tmp_path / "x.tar") == {"x.tar/bomb": "ValueError: larger than 200 MB", "x.tar/after": FINE}


def test_damaged_headers_are_no_end_of_an_archive(tmp_path):
    whole = tar_of(tmp_path / "x.tar", [("a.jpg", JPEG), ("b.jpg", JPEG), ("c.jpg", JPEG)]).read_bytes()
    second = 512 + len(JPEG) + -len(JPEG) % 512
    header = tarfile.TarInfo("long.jpg")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**34
    for content in (
        whole[:second] + b"!" + whole[second + 1 :],  # the checksum is wrong
        whole[: second + 100],
        whole[:second] + header.tobuf(tarfile.GNU_FORMAT) + whole[second:],
        gzip.compress(whole)[:300],
    ):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"x\.tar can't be read to its end .*Replace it"):
            rows(tmp_path / "x.tar")


def test_an_archive_that_points_backwards_ends(tmp_path):
    info = tarfile.TarInfo("a.jpg")
    info.pax_headers = {"size": "-1024"}
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + JPEG + bytes(2048))
    with pytest.raises(DamagedFileError):
        rows(tmp_path / "x.tar")


def test_odd_tables(tmp_path):
    folder = tmp_path / "a[1] b*"
    folder.mkdir()
    image = {"image": [JPEG, None, b"", b"no photo"], "number": [1, 2, 3, 4]}
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), folder / "0-empty.parquet")
    pq.write_table(pa.table(image), folder / "1.parquet")
    pq.write_table(pa.table({"image": [1, 2]}), folder / "2-int.parquet")
    pq.write_table(pa.table({"label": [1, 2]}), folder / "3-none.parquet")
    written = datasets.Dataset.from_dict({"label": [0], "picture": [{"bytes": PNG, "path": "x.png"}]})
    written.cast_column("picture", datasets.Image()).to_parquet(folder / "4.parquet")
    urls = {"image": [{"bytes": None, "path": "ssh://host/x"}, {"bytes": None, "path": "file:///etc/passwd"}]}
    pq.write_table(pa.table(urls), folder / "5.parquet")
    unlike = "not in a format that Pillow reads"
    number = "ValueError: a value of type int, not a photo"
    right = {"1.parquet:0": FINE, "1.parquet:1": "ValueError: no photo in this row", "1.parquet:2": unlike}
    right |= {"1.parquet:3": unlike, "2-int.parquet:0": number, "2-int.parquet:1": number}
    right |= {"3-none.parquet:0": "ValueError: no column of images; there are label", "4.parquet:0": FINE}
    for row, url in enumerate(("ssh://host/x", "file:///etc/passwd")):
        right[f"5.parquet:{row}"] = f"ValueError: {url!r} is at none of hf://, https://, http://"
    assert rows(folder) == right
    assert rows(f"{folder}/[12]*.parquet") == {name: row for name, row in right.items() if name[0] in "12"}
    (folder / "6.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(DamagedFileError, match=r"6\.parquet can't be read"):
        rows(folder)


def test_rows_that_unpack_to_more_than_a_photo_has(tmp_path):
    """A file of 20 kB that is 210 MB in memory."""
    packed = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table({"image": [PNG, bytes(201 * 10**6)]}), tmp_path / "bomb.parquet", **packed)
    assert (tmp_path / "bomb.parquet").stat().st_size < 10**5
    too_large = "ValueError: larger than 200 MB"
    assert rows(tmp_path / "bomb.parquet") == {"bomb.parquet:0": FINE, "bomb.parquet:1": too_large}


def test_odd_files_of_a_folder(tmp_path):
    folder, elsewhere = tmp_path / "photos[1]", tmp_path / "elsewhere"
    for place in (folder / "deep", elsewhere):
        place.mkdir(parents=True)
    contents = {"a.JPG": JPEG, "b.heic": HEIC, "c": PNG, "d": b"text", "e.txt": b"x", "._a.JPG": b"", NOT_UTF_8: JPEG}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "deep" / "[x] {y}.png").write_bytes(PNG)
    (elsewhere / "z.jpg").write_bytes(JPEG)
    (folder / "dead.jpg").symlink_to(tmp_path / "none")
    (folder / "dead.tar").symlink_to(tmp_path / "none")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    found = rows(folder)
    missing = found.pop("dead.jpg")
    assert missing == "FileNotFoundError: No such file or directory"
    assert found == {"a.JPG": FINE, "b.heic": HEIC_ERROR, "c": FINE, "caf\\xe9.jpg": FINE, "deep/[x] {y}.png": FINE}
    notes = "\n".join(open_images(str(folder), 1).notes)
    for told in (f"linked folders, which are labeled when they are named: {folder}/linked, {folder}/loop",
                 f"links to what is not there: {folder}/dead.tar", f"devices or the like: {folder}/pipe.jpg",
                 "2 files not named as photos are (1 .txt, 1 without a suffix)"):  # fmt: skip
        assert told in notes
    assert rows(folder / "linked") == {"z.jpg": FINE}
    assert rows(f"{folder}/*.JPG") == {"a.JPG": FINE}
    assert len(find_photos([folder])) == 6


def test_several_kinds_are_counted_and_asked_for(tmp_path):
    (tmp_path / "1.jpg").write_bytes(JPEG)
    (tmp_path / "2.jpg").write_bytes(JPEG)
    tar_of(tmp_path / "3.TAR", [("x.jpg", JPEG)])
    with pytest.raises(InvalidInputError, match=r"2 photos and 1 \.tar file. Pass --kind photos or --kind tar\."):
        open_images(str(tmp_path), 1)
    assert rows(tmp_path, kind="photos") == {"1.jpg": FINE, "2.jpg": FINE}
    assert rows(tmp_path, kind="tar") == {"3.TAR/x": FINE}
    with pytest.raises(InvalidInputError, match=r"holds none of kind 'parquet': 2 photos and 1 \.tar file"):
        open_images(str(tmp_path), 1, kind="parquet")
    with pytest.raises(InvalidInputError, match="kind must be one of photos, tar, parquet, got 'zip'"):
        open_images(str(tmp_path), 1, kind="zip")


def test_no_photo_says_what_there_is(tmp_path):
    (tmp_path / "a.cr2").write_bytes(b"raw")
    (tmp_path / "b.cr2").write_bytes(b"raw")
    for look in (lambda: open_images(str(tmp_path), 1), lambda: find_photos([tmp_path])):
        with pytest.raises(InvalidInputError, match=r"No photo in .*: 2 files not named as photos are \(2 \.cr2\)"):
            look()
    with pytest.raises(InvalidInputError, match="The source is empty"):
        open_images("", 1)


def test_heic_needs_a_plugin():
    with pytest.raises(InvalidInputError, match="pip install pillow-heif"):
        open_input(f"data:image/heic;base64,{__import__('base64').b64encode(HEIC).decode()}")


def test_odd_entries_do_not_end_a_run(tmp_path, tiny_clip_dir):
    """Rows of names that are no UTF-8 can be written; labels inside the folder are not taken for photos' tables."""
    model, folder = tmp_path / "model", tmp_path / "photos"
    make_model(str(tiny_clip_dir)).save_pretrained(model)
    folder.mkdir()
    for name, content in (("a.jpg", JPEG), (NOT_UTF_8, JPEG), ("b.heic", HEIC)):
        (folder / name).write_bytes(content)
    for _ in range(2):
        done = predict_shards(str(model), folder, folder / "labels", 1)
        assert (done.photos, done.unreadable) == (3, 1)
    names = pq.read_table(folder / "labels" / "part-00000-of-00001.parquet")["photo"].to_pylist()
    assert names == ["a.jpg", "b.heic", "caf\\xe9.jpg"]
    tars = tmp_path / "tars"
    tars.mkdir()
    (tars / "0.tar").write_bytes(b"no tar" * 200)
    tar_of(tars / "1.tar", [("x.jpg", np.random.default_rng(0).bytes(50)), ("y.jpg", JPEG)])
    with pytest.raises(DamagedFileError, match=r"^Shard 0 of 2: 0\.tar can't be .* that are whole are kept"):
        predict_shards(str(model), tars, tmp_path / "out", 2)
    assert pq.read_table(tmp_path / "out" / "part-00001-of-00002.parquet").num_rows == 2


def test_a_run_on_tars_of_an_earlier_version_is_not_continued(tmp_path):
    """It left out photos, and named others in another way."""
    tar_of(tmp_path / "a.tar", [("a.jpg", JPEG)])
    assert open_images(str(tmp_path / "a.tar"), 1).identity["tar_rows"] == 2


def test_a_pattern_of_any_depth_gives_each_photo_once(tmp_path):
    for name in ("a.jpg", "b/c.jpg", "b/d/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(JPEG)
    found = open_images(f"{tmp_path}/**/*", 1)
    assert sorted(name for name, _ in found.read(0)) == ["a.jpg", "b/c.jpg", "b/d/e.jpg"]
