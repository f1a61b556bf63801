"""HEIC, what iPhones store, where its plugin is installed."""

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from wordsight.example_photos import load_photos
from wordsight.pipelines.formats.predictions import upright_size
from wordsight.pipelines.image_folders import find_photos
from wordsight.pipelines.image_io import decode_photo


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """The plugin is registered by what is tested, and gone after it."""
    Image.init()
    for name in ("ID", "OPEN", "SAVE", "EXTENSION", "MIME"):
        monkeypatch.setattr(Image, name, getattr(Image, name).copy())


def test_heic_is_read_upright(tmp_path):
    photo = load_photos()["chelsea"]
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by 90 degrees
    for name, exif in (("upright.HEIC", None), ("turned.heic", turned), ("no-suffix", None)):
        pillow_heif.from_pillow(photo).save(tmp_path / name, quality=90, exif=exif.tobytes() if exif else None)
    found = sorted(path.name for path in find_photos([tmp_path]))
    assert found == ["no-suffix", "turned.heic", "upright.HEIC"]
    for name in found:
        expected = photo.transpose(Image.Transpose.ROTATE_270) if name == "turned.heic" else photo
        read = decode_photo(tmp_path / name)
        assert read.size == expected.size == upright_size(tmp_path / name)
        difference = np.abs(np.asarray(read, dtype=float) - np.asarray(expected, dtype=float))
        assert difference.mean() < 4, name
