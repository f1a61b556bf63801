"""Files for annotation tools: as the tools' own packages took them (tests/data/annotation_tools/SOURCE.md)."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.fixtures.predictions import CATEGORIES, LABELS, make_predictions
from wordsight.pipelines.formats.coco import write_coco
from wordsight.pipelines.formats.cvat import write_cvat
from wordsight.pipelines.formats.fiftyone import write_fiftyone
from wordsight.pipelines.formats.label_studio import write_label_studio
from wordsight.pipelines.formats.predictions import upright_size
from wordsight.pipelines.image_io import decode_photo
from wordsight.pipelines.photo_formats import HeifError
from wordsight.pipelines.shard_files import SCHEMA
from wordsight.utils.errors import InvalidInputError

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


@pytest.mark.parametrize(("write", "file"), [(write_coco, "coco.json"), (write_cvat, "annotations.xml")])
def test_a_photo_that_became_unreadable_is_left_out(write, file, tmp_path):
    predictions = make_predictions(tmp_path)
    (predictions.root / "a.jpg").write_bytes(b"\xff\xd8\xff no photo any more")
    (predictions.root / "nothing.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="was labeled, but is left out: .*not a whole JPEG|not in a format") as told:
        write(predictions, tmp_path)
    assert {str(warning.message).partition(" ")[0] for warning in told} == {"a.jpg", "nothing.png"}
    text = (tmp_path / file).read_text()
    assert "turned.jpg" in text and "a.jpg" not in text


def test_sizes_of_all_photos_that_are_labeled_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)  # what a photo of 200 megapixels is to the usual limit
    path = tmp_path / "large.jpg"
    Image.new("RGB", (18, 12)).save(path, exif=Image.Exif())
    decode_photo(path)
    assert upright_size(path) == (18, 12)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(HeifError):  # the plugin is asked for
        upright_size(tmp_path / "a.heic")


def test_names_that_xml_does_not_allow_are_told(tmp_path):
    predictions = make_predictions(tmp_path, {"cat": "c\x00t"})
    for write in (write_cvat, write_label_studio):
        with pytest.raises(
            InvalidInputError, match=r"The category 'c\\x00t' has the character '\\x00'.*--format jsonl"
        ):
            write(predictions, tmp_path)


def test_a_photo_whose_name_xml_does_not_allow_is_left_out_of_cvat(tmp_path):
    predictions = make_predictions(tmp_path)
    (predictions.root / "a.jpg").rename(predictions.root / "\x01.jpg")
    for shard in predictions.folder.glob("*.parquet"):
        rows = pq.read_table(shard).to_pylist()
        renamed = [row | {"photo": row["photo"].replace("a.jpg", "\x01.jpg")} for row in rows]
        pq.write_table(pa.Table.from_pylist(renamed, schema=SCHEMA), shard)
    with pytest.warns(UserWarning, match=r"A photo is left out: its name '\\x01.jpg' has the character '\\x01'"):
        write_cvat(predictions, tmp_path)
    images = ElementTree.parse(tmp_path / "annotations.xml").findall("image")
    assert [(image.get("id"), image.get("name")) for image in images] == [
        (str(number), name) for number, name in enumerate([*LABELS][1:])
    ]


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
