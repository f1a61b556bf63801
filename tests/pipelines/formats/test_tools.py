"""Files for annotation tools: as the tools' own packages took them (tests/data/annotation_tools/SOURCE.md)."""

import json
from pathlib import Path

import pytest

from tests.fixtures.predictions import CATEGORIES, LABELS, make_predictions
from wordsight.pipelines.formats.coco import write_coco
from wordsight.pipelines.formats.cvat import write_cvat
from wordsight.pipelines.formats.fiftyone import write_fiftyone
from wordsight.pipelines.formats.label_studio import write_label_studio

DATA = Path(__file__).parents[2] / "data/annotation_tools"


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    return make_predictions(tmp_path_factory.mktemp("predictions"))


def test_label_studio_takes_tasks_and_interface(predictions, tmp_path):
    told = write_label_studio(predictions, tmp_path)
    assert json.loads((tmp_path / "tasks.json").read_text()) == json.loads(
        (DATA / "label_studio_tasks.json").read_text()
    )
    assert (tmp_path / "labeling_config.xml").read_text() == (DATA / "label_studio_config.xml").read_text()
    assert f"DOCUMENT_ROOT={predictions.root.parent}," in told


def test_photos_of_label_studio_can_be_anywhere(predictions, tmp_path):
    write_label_studio(predictions, tmp_path, base_url="https://photos.example/all/")
    images = [task["data"]["image"] for task in json.loads((tmp_path / "tasks.json").read_text())]
    assert images[:2] == ["https://photos.example/all/a.jpg", "https://photos.example/all/sub/b%20%C3%A9.jpg"]


def test_cvat_takes_tags(predictions, tmp_path):
    write_cvat(predictions, tmp_path)
    assert (tmp_path / "annotations.xml").read_text() == (DATA / "cvat_annotations.xml").read_text()
    assert [label["name"] for label in json.loads((tmp_path / "cvat_labels.json").read_text())] == CATEGORIES


def test_fiftyone_takes_classifications(predictions, tmp_path):
    write_fiftyone(predictions, tmp_path)
    expected = (DATA / "fiftyone_labels.json").read_text().replace("ROOT", str(predictions.root.parent.resolve()))
    assert json.loads((tmp_path / "labels.json").read_text()) == json.loads(expected)


def test_coco_has_a_box_around_the_whole_upright_photo(predictions, tmp_path):
    write_coco(predictions, tmp_path)
    content = json.loads((tmp_path / "coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    labels = {category["id"]: category["name"] for category in content["categories"]}
    found = {(names[a["image_id"]], labels[a["category_id"]]): a["score"] for a in content["annotations"]}
    assert found == {(name, label): round(s, 4) for name, of in LABELS.items() for label, s in of.items()}
    turned = next(image for image in content["images"] if "turned" in image["file_name"])
    assert (turned["width"], turned["height"]) == (24, 32)
    assert [a["bbox"] for a in content["annotations"] if a["image_id"] == turned["id"]] == [[0, 0, 24, 32]]
