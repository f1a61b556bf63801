"""Annotation files as tools write them: read as they are meant, or one line with file, record and field."""

import json
import unicodedata

import pytest
from PIL import Image

from wordsight.description_gen import Category
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.utils.errors import InvalidInputError

CATEGORIES = [Category("cat"), Category("cup"), Category("café")]


def content(**changes):
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 17, "area": 100, "bbox": [0, 0, 10, 10]},
        {"id": 2, "image_id": 2, "category_id": 47, "area": 100, "bbox": [0, 0, 10, 10]},
    ]
    return {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": annotations,
        "categories": [{"id": 17, "name": "cat"}, {"id": 47, "name": "cup"}, {"id": 1, "name": "café"}],
    } | changes


def write(root, file, photos, text):
    for name in photos:
        (root / photos[name] / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / photos[name] / name)
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())


def read(root, kind="coco", **options):
    dataset = load_labeled_photos(root, kind, CATEGORIES, **options)
    return [photo.source.name for photo in dataset.photos], dataset.labels.tolist()


BOTH = (["a.jpg", "b.jpg"], [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_default.json", "images"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("valid/_annotations.coco.json", "valid"),
        ("_annotations.coco.json", ""),
        ("result.json", "images"),
        ("labels.json", "data"),
    ],
)
def test_places_of_tools(file, folder, tmp_path):
    write(tmp_path, file, {"a.jpg": folder, "b.jpg": folder}, content())
    assert read(tmp_path) == BOTH
    assert read(tmp_path / file) == BOTH


STANDARD = "annotations/instances_val2017.json"
FOLDERS = {"a.jpg": "val2017", "b.jpg": "val2017"}


def records(*changes):
    return [record | change for record, change in zip(content()["annotations"], changes, strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + json.dumps(content()).encode(),
        content(images=[{"id": 1, "file_name": "images\\a.jpg"}, {"id": 2, "file_name": "images\\b.jpg"}]),
        content(images=[{"id": "1", "file_name": "/data/x/a.jpg"}, {"id": "2", "file_name": "b.jpg"}]),
        content(annotations=records({"area": None}, {"category_id": "47"})),
        content(annotations=records({"area": None, "bbox": None}, {"area": "big"})),
        json.dumps(content(info={"note": "a\u2028b\u0085c"}), ensure_ascii=False).encode(),
    ],
)
def test_what_tools_write(text, tmp_path):
    write(tmp_path, STANDARD, FOLDERS, text)
    assert read(tmp_path) == BOTH


def test_names_are_the_same_however_accents_are_written(tmp_path):
    name = unicodedata.normalize("NFD", "café")
    categories = [{"id": 17, "name": name}, {"id": 47, "name": "cup"}]
    images = [{"id": 1, "file_name": f"{name}.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    write(
        tmp_path, STANDARD, {"café.jpg": "val2017", "b.jpg": "val2017"}, content(categories=categories, images=images)
    )
    assert read(tmp_path)[1] == [[0, 0, 1], [0, 1, 0]]


def test_a_photo_that_is_listed_twice_counts_once(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]
    write(tmp_path, STANDARD, FOLDERS, content(images=images))
    dataset = load_labeled_photos(tmp_path, "coco", CATEGORIES)
    assert dataset.labels.tolist() == [[1, 1, 0]]
    assert any("1 record of photos that were named before" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (content(annotations=records({}, {"category_id": 99})), r"annotations\[1\] has category_id 99, which none"),
        (content(annotations=[{"id": 1, "image_id": 1, "caption": "A cat."}]), r"annotations\[0\] has no category_id"),
        (content(annotations=[7]), r"annotations\[0\] has no image_id"),
        (content(images=[{"id": 1}]), r"images\[0\] has no file_name"),
        (content(categories=None), "lacks categories"),
        (
            content(categories=None, annotations=[{"id": 1, "image_id": 1, "caption": "A cat."}]),
            r"lacks categories: .* It has captions, .* pass the instances_\*\.json",
        ),
        ([1, 2], "lacks images, annotations and categories: it is a list"),
        (b"[" * 100_000, "is no valid JSON"),
        (b"{", "is no valid JSON"),
        (b"\xff\xfe", "can't be read"),
    ],
)
def test_what_can_not_be_read_is_named(text, said, tmp_path):
    write(tmp_path, STANDARD, FOLDERS, text)
    with pytest.raises(InvalidInputError, match=said) as error:
        read(tmp_path)
    assert str(tmp_path / STANDARD) in str(error.value) and "\n" not in str(error.value)


XML = "<annotation><filename>{file}</filename><object><name>{label}</name></object></annotation>"


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".jpeg"])
def test_voc_photos_of_any_suffix(suffix, tmp_path):
    root = tmp_path / "VOC2007"
    (root / "Annotations").mkdir(parents=True)
    for name, label in (("a b", "cat"), ("c", "cup")):
        (root / "Annotations" / f"{name}.xml").write_text(XML.format(file=f"other-{name}{suffix}", label=label))
    write(
        root,
        "ImageSets/Main/test.txt",
        {f"a b{suffix}": "JPEGImages", f"other-c{suffix}": "JPEGImages"},
        b"a b\nc  1\n",
    )
    assert read(tmp_path, "voc2007") == ([f"a b{suffix}", f"other-c{suffix}"], [[1, 0, 0], [0, 1, 0]])


def test_keypoints_of_one_category_keep_the_photos_without_it(tmp_path):
    keypoints = {"id": 1, "image_id": 2.0, "category_id": 1.0, "keypoints": [1, 2, 2], "num_keypoints": 1, "bbox": None}
    text = content(categories=[{"id": 1, "name": "cat", "keypoints": ["nose"]}], annotations=[keypoints])
    write(tmp_path, "annotations/person_keypoints_val2017.json", FOLDERS, text)
    folder = tmp_path / "annotations" / "person_keypoints_val2017.json"
    (tmp_path / "val2017").rename(tmp_path / "images")
    assert read(folder) == (["a.jpg", "b.jpg"], [[0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("name", ["a\0.jpg", "x" * 5000, "\ud800.jpg", "", "../../../etc/none.jpg"])
def test_names_that_no_file_can_have_are_photos_that_are_not_there(name, tmp_path):
    images = [{"id": 1, "file_name": name}, {"id": 2, "file_name": "b.jpg"}]
    write(tmp_path, STANDARD, FOLDERS, content(images=images))
    with pytest.warns(UserWarning, match="1 of 2 photos are not there"):
        assert read(tmp_path) == (["b.jpg"], [[0, 1, 0]])


def test_objects_of_photos_that_are_not_listed_are_said(tmp_path):
    write(tmp_path, STANDARD, FOLDERS, content(annotations=records({"image_id": 77}, {})))
    with pytest.warns(UserWarning, match="Objects of 1 photos that the file does not list are left out: '77'"):
        assert read(tmp_path) == (["b.jpg"], [[0, 1, 0]])


ANIMALS = [Category("cat"), Category("dining table"), Category("dog", ("puppy",)), Category("T-shirt")]


def test_an_unknown_label_makes_no_negative_of_what_it_may_mean(tmp_path):
    """A tabby cat and cats may be the model's cat, and a table its dining table; a hot dog and a zebra are no dog."""
    labels = [["cats"], ["tabby_cat", "dog"], ["table", "zebra"], ["hot dog"], ["dining-table", "t_shirt"], []]
    for number in range(len(labels)):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.jpg")
    rows = [{"file_name": f"{number}.jpg", "labels": given} for number, given in enumerate(labels)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(UserWarning) as warned:
        dataset = load_labeled_photos(tmp_path, "jsonl", ANIMALS)
    right = [[-1, 0, 0, 0], [-1, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert dataset.labels.tolist() == right
    told = "1 with 'cats' for 'cat', 1 with 'tabby_cat' for 'cat', 1 with 'table' for 'dining table'"
    assert any(told in str(warning.message) for warning in warned)
    assert any(told in note for note in dataset.notes)


def test_names_that_no_text_tells_apart_leave_out_what_they_can(tmp_path):
    categories = [Category("wine glass"), Category("wine-glas"), Category("wine-glass"), Category("\U0001f600")]
    Image.new("RGB", (8, 8)).save(tmp_path / "0.jpg")
    row = {"file_name": "0.jpg", "labels": ["big wine glasses", "!", "\U0001f600"]}
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    with pytest.warns(UserWarning, match="does not know 2 of the labels"):
        assert load_labeled_photos(tmp_path, "jsonl", categories).labels.tolist() == [[-1, 0, -1, 1]]


def test_objects_without_a_name_leave_out_what_is_not_named(tmp_path):
    root = tmp_path / "VOC2007"
    (root / "Annotations").mkdir(parents=True)
    nameless = "<object><bndbox><xmin>one</xmin><ymin/><xmax>2</xmax><ymax>3</ymax></bndbox></object>"
    (root / "Annotations" / "a.xml").write_text(
        XML.format(file="a.jpg", label="cat").replace("</annotation>", nameless + "</annotation>")
    )
    (root / "Annotations" / "b.xml").write_text(XML.format(file="b.jpg", label="cup"))
    write(root, "ImageSets/Main/test.txt", {"a.jpg": "JPEGImages", "b.jpg": "JPEGImages"}, b"a\nb\n")
    dataset = load_labeled_photos(tmp_path, "voc2007", CATEGORIES)
    assert dataset.labels.tolist() == [[1, -1, -1], [0, 1, 0]]
    assert "1 photo has labels without a name and count for the named ones alone." in dataset.notes
