"""Arrays, tensors, stacks and rows of datasets through the pipeline: the labels of the same photo, or an error."""

from io import BytesIO

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from wordsight.example_photos import load_photos
from wordsight.pipelines.image_io import image_of
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def photo():
    return np.asarray(load_photos()["chelsea"].convert("RGB").resize((150, 100)))


@pytest.fixture(scope="module")
def labels(labeler, photo):
    return labeler(Image.fromarray(photo))


def assert_same(found, labels, tolerance=1e-5):
    assert [entry["label"] for entry in found] == [entry["label"] for entry in labels]
    assert [entry["score"] for entry in found] == pytest.approx([entry["score"] for entry in labels], abs=tolerance)


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: photo / 255.0,
        lambda photo: (photo / 255.0).astype(np.float32).transpose(2, 0, 1),
        lambda photo: photo.astype(np.float64),
        lambda photo: photo.astype(np.int64),
        lambda photo: photo.astype(np.uint16) * 257,
        lambda photo: torch.from_numpy(photo.copy()),
        lambda photo: torch.from_numpy(photo.copy()).permute(2, 0, 1) / 255,
        lambda photo: torch.from_numpy(photo / 255.0).requires_grad_(),
    ],
)
def test_ranges_and_layouts(change, labeler, photo, labels):
    assert_same(labeler(change(photo)), labels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, labeler, photo, labels):
    half = (torch.from_numpy(photo / 255.0)).to(dtype)
    assert_same(labeler(half), labels, 2e-2)
    assert np.abs(np.asarray(image_of(half.float().numpy())).astype(int) - photo).max() <= 1


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((0, 10, 3)), r"shape \(0, 10, 3\)"),
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((2, 2, 10, 10, 3)), r"shape \(2, 2, 10, 10, 3\)"),
        (np.full((10, 10, 3), np.nan), "no brightness"),
        (np.linspace(-2, 2.6, 300).reshape(10, 10, 3), r"values from -2 to 2.6.*normalized already"),
        (np.full((10, 10, 3), 300.0), "no brightness"),
        (np.full((10, 10, 3), 70000), "no brightness"),
        (np.zeros((10, 10, 5), np.uint8), "can't be read as an image"),
        (np.full((10, 10, 3), "a"), "can't be read as an image"),
        (np.zeros((10, 10, 3), complex), "can't be read as an image"),
    ],
)
def test_arrays_that_are_no_photo(array, said, labeler):
    with pytest.raises(InvalidInputError, match=said):
        labeler(array)


def test_stacks_are_photos_each(labeler, photo, labels):
    black = np.zeros_like(photo)
    stack = np.stack([photo, black])
    for given in (stack, torch.from_numpy(stack).permute(0, 3, 1, 2) / 255):
        found = labeler(given)
        assert len(found) == 2
        assert_same(found[0], labels)
        assert found[1] != found[0]


def test_columns_and_undecoded_rows(labeler, photo, labels, tmp_path, child_handler):
    file = BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    path = tmp_path / "photo"
    path.write_bytes(file.getvalue())
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": file.getvalue(), "path": None}, {"bytes": None, "path": str(path)}]}
    )
    decoded = rows.cast_column("image", datasets.Image())
    undecoded = rows.cast_column("image", datasets.Image(decode=False))
    for column in (decoded["image"], undecoded["image"], undecoded, undecoded["image"][:]):
        found = list(labeler(column))
        assert len(found) == 2
        for of_row in found:
            assert_same(of_row, labels)
    many = undecoded.select([0, 1] * 4)
    stream = labeler(many, num_workers=2, batch_size=3)
    assert stream.loader.loader.num_workers == 2
    for of_row in stream:
        assert_same(of_row, labels)
    with pytest.raises(InvalidInputError, match="its bytes and its path are empty"):
        labeler({"bytes": None, "path": None})
    with pytest.raises(InvalidInputError, match=r"'a\.png' can't be read as an image"):
        labeler({"bytes": b"broken", "path": "a.png"})


@pytest.mark.parametrize("top_k", [2.0, "2", True, 0])
def test_top_k_is_a_whole_number(top_k, labeler, photo):
    with pytest.raises(InvalidInputError, match="top_k must be a whole number"):
        labeler(Image.fromarray(photo), top_k=top_k)


def test_paths_and_schemes(labeler, photo, labels, tmp_path):
    path = tmp_path / "my photo.png"
    Image.fromarray(photo).save(path)
    assert_same(labeler(path.as_uri()), labels)
    for missing in ("photos/cat", "cat", str(tmp_path / "none"), (tmp_path / "none.png").as_uri()):
        with pytest.raises(InvalidInputError, match="There is no photo"):
            labeler(missing)
    with pytest.raises(InvalidInputError, match="s3:// is none of http"):
        labeler("s3://bucket/cat.jpg")
