"""Annotation files with anything in them: read, or one line that names the file."""

import json
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from wordsight.description_gen import Category
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.utils.errors import InvalidInputError

from .strategies import anything, damaged_bytes, damaged_json, names, tried

CATEGORIES = [Category("cat"), Category("dining table"), Category("cup", ("mug",))]
COCO = {
    "images": [
        {"id": 1, "file_name": "a.jpg"},
        {"id": "2", "file_name": "images\\b.jpg"},
        {"id": 3, "file_name": "a.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "area": 9.5, "bbox": [0, 0, 2, 3]},
        {"id": 2, "image_id": 2, "category_id": 8, "area": None, "bbox": [0, 0, 2, 3], "iscrowd": 1},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "table"}],
}
ROWS = [{"file_name": "a.jpg", "labels": ["cat", "tabby_cat"]}, {"file_name": "b.jpg", "labels": []}]
XML = (
    "<annotation><filename>b.jpg</filename><object><name>cat</name><difficult>1</difficult><bndbox><xmin>1</xmin>"
    "<ymin>2</ymin><xmax>3.5</xmax><ymax>4</ymax></bndbox></object><object><name>mug</name></object></annotation>"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("annotations")
    for folder in (root, root / "VOC2007" / "JPEGImages"):
        folder.mkdir(exist_ok=True, parents=True)
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (8, 8)).save(folder / name)
    for folder in ("Annotations", "ImageSets/Main"):
        (root / "VOC2007" / folder).mkdir(parents=True)
    return root


def load(path, kind, root):
    """The dataset, checked; None where a line says why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = load_labeled_photos(path, kind, CATEGORIES)
        except InvalidInputError as error:
            assert "\n" not in str(error) and str(root) in str(error)
            return
    assert dataset.labels.shape == (len(dataset.photos), len(CATEGORIES))
    assert set(dataset.labels.flat) <= {-1, 0, 1} and set(dataset.sizes.flat) <= {0, 1, 2, 3}
    assert len({photo.source for photo in dataset.photos}) == len(dataset.photos) or kind != "coco"


@tried
@given(damaged_json(COCO))
@example(COCO | {"annotations": True, "categories": None})
def test_coco_with_other_values(root, content):
    (root / "result.json").write_text(json.dumps(content))
    load(root / "result.json", "coco", root)


@tried
@given(damaged_bytes(json.dumps(COCO).encode()) | anything.map(lambda content: json.dumps(content).encode()))
def test_coco_with_other_bytes(root, content):
    (root / "result.json").write_bytes(content)
    load(root / "result.json", "coco", root)


@tried
@given(st.lists(names, min_size=1, max_size=4))
def test_coco_with_other_names(root, labels):
    categories = [{"id": number, "name": name} for number, name in enumerate(labels, 7)]
    (root / "result.json").write_text(json.dumps(COCO | {"categories": [*categories, {"id": 8, "name": "cat"}]}))
    load(root / "result.json", "coco", root)


@tried
@given(damaged_json(ROWS), st.sampled_from(["\n", "\r\n", "\n\n", "\u2028"]))
def test_lines_with_other_values(root, rows, end):
    lines = rows if isinstance(rows, list) else [rows]
    (root / "labels.jsonl").write_text(end.join(json.dumps(row, ensure_ascii=False) for row in lines), errors="replace")
    load(root, "jsonl", root)


@tried
@given(damaged_bytes(XML.encode()), damaged_bytes(b"a\nb 1\n"))
@example(XML.encode(), b"\0\nb 1\n")
@example(XML.encode(), b"/a\nb 1\n")
@example(XML.encode(), b"../../a\n")
def test_voc_with_other_bytes(root, xml, listed):
    (root / "VOC2007" / "ImageSets" / "Main" / "test.txt").write_bytes(listed)
    for name in ("a", "b"):
        (root / "VOC2007" / "Annotations" / f"{name}.xml").write_bytes(xml)
    load(root, "voc2007", root)
