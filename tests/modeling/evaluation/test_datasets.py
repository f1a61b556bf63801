"""Readers on small files in the benchmarks' real formats, with label matrices worked out by hand."""

import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from wordsight.description_gen import Category, read_categories
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.pipelines.image_loader import open_photo
from wordsight.utils.errors import InvalidInputError

CATEGORIES = [Category("person", ("man",)), Category("dog"), Category("bicycle", ("bike",))]


def photo(path, shade=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(path)


def voc_xml(*objects):
    parts = [
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{1 + side}</xmax><ymax>{1 + side}</ymax></bndbox></object>"
        for name, difficult, side in objects
    ]
    return f"<annotation><size><width>500</width></size>{''.join(parts)}</annotation>"


@pytest.fixture
def voc(tmp_path):
    """VOCdevkit/VOC2007 with four test photos."""
    root = tmp_path / "VOCdevkit" / "VOC2007"
    annotations = {
        "000001": voc_xml(("dog", 0, 20), ("person", 1, 50)),  # the person is difficult: does not count
        "000002": voc_xml(("person", 1, 10), ("person", 0, 100)),  # one of two persons is difficult: present
        "000003": voc_xml(("bicycle", 0, 50)),
        "000004": voc_xml(),  # nothing
    }
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, xml in annotations.items():
        (root / "Annotations" / f"{name}.xml").write_text(xml)
        photo(root / "JPEGImages" / f"{name}.jpg")
    (root / "ImageSets" / "Main" / "test.txt").write_text("\n".join(annotations) + "\n")
    return tmp_path / "VOCdevkit"


def test_voc(voc):
    with pytest.warns(UserWarning, match="1 photo with no object in the XML.*'000004'"):
        benchmark = load_labeled_photos(voc, "voc2007", CATEGORIES)
    assert benchmark.labels.tolist() == [[-1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    # 20 x 20 is small, 50 x 50 medium, 100 x 100 large; what is not present has no size.
    assert benchmark.sizes.tolist() == [[0, 1, 0], [3, 0, 0], [0, 0, 2], [0, 0, 0]]
    assert benchmark.name == "VOC2007 test"
    assert open_photo(benchmark.photos[0].source).size == (8, 8)
    # The folder of the year itself does too.
    with pytest.warns(UserWarning, match="no object"):
        assert load_labeled_photos(voc / "VOC2007", "voc2007", CATEGORIES).labels.tolist() == benchmark.labels.tolist()


def test_voc_missing_and_broken_annotations(voc):
    broken = voc / "VOC2007" / "Annotations" / "000003.xml"
    broken.write_text("<annotation>")
    with pytest.raises(InvalidInputError, match=r"annotation file .*000003\.xml can't be read"):
        load_labeled_photos(voc, "voc2007", CATEGORIES)
    broken.unlink()
    with pytest.raises(InvalidInputError, match=r"annotation file .*000003\.xml can't be read"):
        load_labeled_photos(voc, "voc2007", CATEGORIES)
    with pytest.raises(InvalidInputError, match=r"annotation file .*trainval\.txt can't be read"):
        load_labeled_photos(voc, "voc2007", CATEGORIES, split="trainval")
    with pytest.raises(InvalidInputError, match="Give the VOCdevkit folder"):
        load_labeled_photos(voc, "voc2012", CATEGORIES)


@pytest.fixture
def coco(tmp_path):
    """COCO with three photos, one of them without any object."""
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg"},
            {"id": 9, "file_name": "b.jpg"},
            {"id": 11, "file_name": "c.jpg"},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 2, "name": "bicycle"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 18, "area": 900.0, "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 18, "area": 5000.5, "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 1, "area": 100000, "iscrowd": 1},
            {"id": 4, "image_id": 7, "category_id": 2, "area": 12.25, "iscrowd": 0},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2014.json").write_text(json.dumps(content))
    for name in "abc":
        photo(tmp_path / "val2014" / f"{name}.jpg")
    return tmp_path


def test_coco(coco):
    benchmark = load_labeled_photos(coco, "coco", CATEGORIES)
    assert [photo.name for photo in benchmark.photos] == ["a.jpg", "b.jpg"]
    assert benchmark.labels.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert benchmark.sizes.tolist() == [[3, 0, 1], [0, 2, 0]]
    assert benchmark.notes == ["1 photo left out: no object, as in the papers."]
    by_file = load_labeled_photos(coco / "annotations" / "instances_val2014.json", "coco", CATEGORIES)
    assert by_file.labels.tolist() == benchmark.labels.tolist()


def test_coco_problems(coco, tmp_path):
    with pytest.raises(InvalidInputError, match=r"holds no annotations/instances_test2017\.json"):
        load_labeled_photos(coco, "coco", CATEGORIES, split="test2017")
    file = coco / "annotations" / "captions_val2014.json"
    file.write_text('{"images": [], "annotations": []}')
    with pytest.raises(InvalidInputError, match="lacks categories"):
        load_labeled_photos(file, "coco", CATEGORIES)
    file.write_text("{")
    with pytest.raises(InvalidInputError, match="no valid JSON"):
        load_labeled_photos(file, "coco", CATEGORIES)


@pytest.fixture
def nuswide(tmp_path):
    """NUS-WIDE with three concepts and three test photos, the last without a concept."""
    (tmp_path / "ImageList").mkdir()
    (tmp_path / "Groundtruth" / "TrainTestLabels").mkdir(parents=True)
    (tmp_path / "ImageList" / "TestImagelist.txt").write_text("actor\\0001.jpg\nzebra\\0002.jpg\nsky\\0003.jpg\n")
    (tmp_path / "Concepts81.txt").write_text("dog\nperson\nsky\n")
    for concept, flags in {"dog": "1 0 0", "person": "1 1 0", "sky": "0 1 0"}.items():
        labels = tmp_path / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_Test.txt"
        labels.write_text("\n".join(flags.split()) + "\n")
    for name in ("actor/0001.jpg", "zebra/0002.jpg", "sky/0003.jpg"):
        photo(tmp_path / "Flickr" / name)
    return tmp_path


def test_nuswide(nuswide):
    with pytest.warns(UserWarning, match="does not know 1 of the labels: 'sky'"):
        benchmark = load_labeled_photos(nuswide, "nuswide", CATEGORIES)
    assert [photo.name for photo in benchmark.photos] == ["actor/0001.jpg", "zebra/0002.jpg"]
    assert benchmark.labels.tolist() == [[1, 1, 0], [1, 0, 0]]
    (nuswide / "Groundtruth" / "TrainTestLabels" / "Labels_dog_Test.txt").write_text("-1\n1\n0\n")
    with pytest.warns(UserWarning, match="'sky'"):
        assert load_labeled_photos(nuswide, "nuswide", CATEGORIES).labels.tolist() == [[1, -1, 0], [1, 1, 0]]
    (nuswide / "Groundtruth" / "TrainTestLabels" / "Labels_dog_Test.txt").write_text("1\n0\n")
    with pytest.raises(InvalidInputError, match="2 lines for the 3 photos"):
        load_labeled_photos(nuswide, "nuswide", CATEGORIES)


def write_jsonl(folder, rows, present=()):
    (folder / "labels.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    for name in present:
        photo(folder / name)
    return folder


def test_jsonl_by_names_and_synonyms(tmp_path):
    rows = [{"file_name": "a.jpg", "labels": ["man", "Bike"]}, {"file_name": "b.jpg", "labels": []}]
    folder = write_jsonl(tmp_path, rows, ["a.jpg", "b.jpg"])
    assert load_labeled_photos(folder, "jsonl", CATEGORIES).labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert load_labeled_photos(folder / "labels.jsonl", "jsonl", CATEGORIES).labels.tolist() == [
        [1, 0, 1],
        [0, 0, 0],
    ]


def test_absent_photos_and_unknown_labels_are_counted_and_named(tmp_path):
    rows = [{"file_name": f"{name}.jpg", "labels": ["dog", "kite"]} for name in "abc"]
    folder = write_jsonl(tmp_path, rows, ["b.jpg"])
    with pytest.warns(UserWarning) as warned:
        benchmark = load_labeled_photos(folder, "jsonl", CATEGORIES)
    assert "2 of 3 photos are not there: 'a.jpg', 'c.jpg'." in str(warned[0].message)
    assert "does not know 1 of the labels: 'kite'" in str(warned[1].message)
    assert benchmark.labels.tolist() == [[0, 1, 0]]
    assert len(benchmark.notes) == 2
    with pytest.raises(InvalidInputError, match=r"2 of 3 photos are not there.*--strict"):
        load_labeled_photos(folder, "jsonl", CATEGORIES, strict=True)


@pytest.mark.parametrize(
    ("rows", "present", "message"),
    [
        ([{"file_name": "a.jpg", "labels": "dog"}], ["a.jpg"], "line 1: expected"),
        ([{"file_name": "a.jpg", "labels": ["dog"]}], [], "1 photos, but none is there"),
        ([{"file_name": "a.jpg", "labels": ["kite"]}], ["a.jpg"], r"knows none of the labels.*'kite'.*'person'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*left out")
def test_jsonl_problems(tmp_path, rows, present, message):
    with pytest.raises(InvalidInputError, match=message):
        load_labeled_photos(write_jsonl(tmp_path, rows, present), "jsonl", CATEGORIES)


def test_missing_jsonl(tmp_path):
    with pytest.raises(InvalidInputError, match=r"annotation file .*labels\.jsonl can't be read"):
        load_labeled_photos(tmp_path, "jsonl", CATEGORIES)


@pytest.mark.parametrize(
    ("labels", "feature", "expected"),
    [
        ([0, -1, 1, None], ClassLabel(names=["dog", "person"]), [[0, 1, 0], [1, 0, 0]]),
        ([[0], [-1], [1, 0], None], List(ClassLabel(names=["dog", "person"])), [[0, 1, 0], [1, 1, 0]]),
        (
            [[0, -1], [-1, None], [1, 0], []],
            List(ClassLabel(names=["dog", "person"])),
            [[-1, 1, -1], [1, 1, 0], [0] * 3],
        ),
        (["dog", None, "man", None], Value("string"), [[0, 1, 0], [1, 0, 0]]),
        ([["dog"], None, [], ["man"]], List(Value("string")), [[0, 1, 0], [0, 0, 0], [1, 0, 0]]),
    ],
)
def test_rows_without_labels_are_left_out_and_said(labels, feature, expected, tmp_path):
    features = Features({"image": ImageFeature(), "labels": feature})
    images = [Image.new("L", (8, 8))] * len(labels)
    Dataset.from_dict({"image": images, "labels": labels}, features=features).save_to_disk(tmp_path / "d")
    dataset = load_labeled_photos(tmp_path / "d", "datasets", CATEGORIES)
    assert dataset.labels.tolist() == expected
    assert f"Rows without labels (null or -1), left out: {len(labels) - len(expected)}." in dataset.notes


def test_datasets_with_names_and_with_class_labels(tmp_path):
    images = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    named = Dataset.from_dict({"image": images, "labels": [["dog"], ["man", "bike"]]}).cast_column(
        "image", ImageFeature()
    )
    named.save_to_disk(tmp_path / "named")
    benchmark = load_labeled_photos(tmp_path / "named", "datasets", CATEGORIES)
    assert benchmark.labels.tolist() == [[0, 1, 0], [1, 0, 1]]
    opened = open_photo(benchmark.photos[1].source)
    assert opened.mode == "RGB"
    assert np.asarray(opened).min() == 255
    features = Features({"image": ImageFeature(), "labels": List(ClassLabel(names=["dog", "person"]))})
    numbered = Dataset.from_dict({"image": images, "labels": [[0], [1, 0]]}, features=features)
    numbered.save_to_disk(tmp_path / "numbered")
    assert load_labeled_photos(tmp_path / "numbered", "datasets", CATEGORIES).labels.tolist() == [
        [0, 1, 0],
        [1, 1, 0],
    ]
    bad = Dataset.from_dict(
        {"image": images, "labels": [[3], [1]]},
        features=Features({"image": ImageFeature(), "labels": List(Value("int64"))}),
    )
    bad.save_to_disk(tmp_path / "bad")
    with pytest.raises(InvalidInputError, match="row 0: labels must be names"):
        load_labeled_photos(tmp_path / "bad", "datasets", CATEGORIES)


def test_imagefolder(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg")
    (tmp_path / "metadata.jsonl").write_text(
        '{"file_name": "a.jpg", "labels": ["dog"]}\n{"file_name": "b.jpg", "labels": ["person", "dog"]}\n'
    )
    assert load_labeled_photos(tmp_path, "datasets", CATEGORIES).labels.tolist() == [[0, 1, 0], [1, 1, 0]]


@pytest.mark.parametrize(("name", "count"), [("voc2007", 20), ("voc2012", 20), ("coco", 80), ("nuswide", 81)])
def test_shipped_category_lists(name, count):
    categories = read_categories(name)
    assert len(categories) == count
    assert len({category.name for category in categories}) == count


def test_labels_match_without_case_and_spaces(tmp_path):
    """VOC's own names fit a model of the usual ones."""
    categories = [Category("dining table"), Category("airplane", ("aeroplane",))]
    folder = write_jsonl(tmp_path, [{"file_name": "a.jpg", "labels": ["diningtable", "Aeroplane"]}], ["a.jpg"])
    assert load_labeled_photos(folder, "jsonl", categories).labels.tolist() == [[1, 1]]
