"""Photos, archives and tables, whole and damaged: read, or told of by one of the errors that are meant for that."""

import io
import tarfile
import warnings
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wordsight.pipelines.image_io import UNREADABLE, decode_photo, open_input, reason_of
from wordsight.pipelines.image_loader import open_photo
from wordsight.pipelines.image_sources import DamagedFileError, open_images
from wordsight.pipelines.photo_formats import has_photo_suffix
from wordsight.utils.errors import InvalidInputError

from .strategies import PHOTOS, archives, damaged_bytes, names, photo, tried


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def read(path):
    """Name -> the photo, or why it can't be read."""
    rows = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, source in open_images(str(path), 1).read(0):
            assert name not in rows and name.encode()
            try:
                rows[name] = open_photo(source)
            except UNREADABLE as error:
                rows[name] = reason_of(error)
                assert "\n" not in rows[name]
    return rows


def archive_of(name, content):
    """As `archives` gives them, of one member."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return [(name, tarfile.REGTYPE, content)], file.getvalue()


@tried
@given(st.sampled_from(PHOTOS).flatmap(damaged_bytes))
@example(photo("AVIF").replace(b"iloc", b"xxxx"))
def test_a_damaged_photo_is_read_or_told_of(content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert decode_photo(content).mode == "RGB"
        except UNREADABLE as error:
            assert "\n" not in reason_of(error)


@tried
@given(names)
def test_any_text_is_a_photo_or_told_of(text):
    if not text.lower().startswith("http"):
        with pytest.raises(InvalidInputError) as error:
            open_input(text)
        assert "\n" not in str(error.value)


@tried
@given(archives())
@example(archive_of("\0.png", photo("JPEG")))
def test_every_photo_of_an_archive_is_a_row(folder, archive):
    members, content = archive
    (folder / "whole.tar").write_bytes(content)
    photos = [
        kind
        for name, kind, _ in members
        if not PurePosixPath(name).name.startswith("._")
        and kind != tarfile.DIRTYPE
        and (has_photo_suffix(PurePosixPath(name)) or (not PurePosixPath(name).suffix and kind == tarfile.REGTYPE))
    ]
    perhaps = sum(kind == tarfile.LNKTYPE and not PurePosixPath(name).suffix for name, kind, _ in members)
    rows = read(folder / "whole.tar")
    assert len(photos) - photos.count(tarfile.REGTYPE) <= len(rows) <= len(photos) + perhaps
    assert [path.name for path in folder.iterdir() if path.suffix == ".jpg"] == []


@tried
@given(archives().flatmap(lambda archive: damaged_bytes(archive[1])))
@example(b"\x1f\x8b\x08")
def test_a_damaged_archive_is_read_or_told_of(folder, content):
    (folder / "damaged.tar").write_bytes(content)
    try:
        read(folder / "damaged.tar")
    except DamagedFileError as error:
        assert "damaged.tar can't be read" in str(error) and "\n" not in str(error)


def table():
    """A parquet file's content."""
    file = io.BytesIO()
    rows = {"image": [{"bytes": photo(), "path": "a.png"}, {"bytes": None, "path": "b.png"}, None], "number": [1, 2, 3]}
    pq.write_table(pa.table(rows), file)
    return file.getvalue()


@tried
@given(damaged_bytes(table()))
def test_a_damaged_table_is_read_or_told_of(folder, content):
    (folder / "damaged.parquet").write_bytes(content)
    try:
        read(folder / "damaged.parquet")
    except (DamagedFileError, InvalidInputError) as error:
        assert "damaged.parquet" in str(error) and "\n" not in str(error)


@tried
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20), st.just(photo()), st.text(max_size=20)), max_size=4))
def test_every_row_of_a_table_is_a_row(folder, values):
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        pq.write_table(pa.table({"image": pa.array(values)}), folder / "whole.parquet")
        assert len(read(folder / "whole.parquet")) == len(values)
