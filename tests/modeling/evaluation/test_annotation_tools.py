"""Corrected exports of annotation tools: their own packages wrote them (tests/data/annotation_tools/SOURCE.md)."""

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fixtures.predictions import BROKEN, CATEGORIES, LABELS, make_predictions
from wordsight.description_gen import Category
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.pipelines.formats.tables import write_csv, write_jsonl
from wordsight.utils.errors import InvalidInputError

DATA = Path(__file__).parents[2] / "data/annotation_tools"
KINDS = st.sampled_from(["", "cat", "a.jpg", "choices", "Classifications"])
KEYS = (
    *("data", "annotations", "result", "value", "choices", "type", "image", "photo", "updated_at", "annotation_id"),
    *("labels", "classes", "samples", "filepath", "ground_truth", "_cls", "classifications", "label"),
)
EXPECTED = {name: set(found) for name, found in LABELS.items()}


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    return make_predictions(tmp_path_factory.mktemp("predictions"))


def read(path, kind, predictions, **options):
    """Names relative to the photos' folder, with their labels; and the notes."""
    dataset = load_labeled_photos(
        path, kind, [Category(name) for name in CATEGORIES], photos_folder=predictions.root, **options
    )
    labels = [{CATEGORIES[k] for k in row.nonzero()[0]} for row in dataset.labels]
    names = [photo.source.relative_to(predictions.root).as_posix() for photo in dataset.photos]
    return dict(zip(names, labels, strict=True)), dataset.notes


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("label_studio_export.json", "label-studio"),
        ("label_studio_min.json", "label-studio"),
        ("cvat_annotations.xml", "cvat"),
        ("cvat_export.xml", "cvat"),
    ],
)
def test_labels_come_back(file, kind, predictions):
    assert read(DATA / file, kind, predictions) == (EXPECTED, [])


def test_own_files_come_back(predictions, tmp_path):
    write_csv(predictions, tmp_path)
    write_jsonl(predictions, tmp_path)
    left_out = ["1 photo left out: unreadable."]
    assert read(tmp_path / "labels.csv", "csv", predictions) == (EXPECTED, left_out)
    assert read(predictions.folder, "parquet", predictions) == (EXPECTED, left_out)
    assert read(tmp_path / "labels.jsonl", "jsonl", predictions)[0] == EXPECTED | {BROKEN: set()}


def test_fiftyone_export_with_its_photos(predictions, tmp_path):
    (tmp_path / "data").mkdir()
    for name in LABELS:
        shutil.copy(predictions.root / name, tmp_path / "data")
    shutil.copy(DATA / "fiftyone_export.json", tmp_path / "labels.json")
    dataset = load_labeled_photos(tmp_path, "fiftyone", [Category(name) for name in CATEGORIES])
    found = {photo.source.name: row.sum() for photo, row in zip(dataset.photos, dataset.labels, strict=True)}
    assert found == {"a.jpg": 2, "b é.jpg": 2, "turned.jpg": 1}
    assert dataset.notes[-1].startswith("1 photo left out: labels are null")


def test_fiftyone_dataset_keeps_what_is_empty_and_asks_for_the_field(predictions, tmp_path):
    def sample(name, labels):
        return {"_cls": "Classifications", "classifications": [{"label": label} for label in labels]}

    samples = [
        {"filepath": f"data/{name}", "ground_truth": sample(name, found), "wordsight": sample(name, ["dog"])}
        for name, found in LABELS.items()
    ]
    samples.append({"filepath": "data/not-labeled.jpg", "ground_truth": None, "wordsight": None})
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    found, notes = read(tmp_path, "fiftyone", predictions)
    assert found == EXPECTED
    assert notes[0].startswith("1 photo left out")
    assert set(map(frozenset, read(tmp_path, "fiftyone", predictions, split="wordsight")[0].values())) == {
        frozenset({"dog"})
    }
    with pytest.raises(InvalidInputError, match=r"can be in ground_truth, wordsight. Pass the right one as --spl"):
        read(tmp_path, "fiftyone", predictions, split="checked")


def test_what_nobody_reviewed_is_left_out_and_what_was_skipped_too(predictions, tmp_path):
    tasks = json.loads((DATA / "label_studio_export.json").read_text())
    tasks[0]["annotations"] = []
    tasks[1]["annotations"][0]["was_cancelled"] = True
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    found, notes = read(path, "label-studio", predictions)
    assert found == {name: EXPECTED[name] for name in list(EXPECTED)[2:]}
    assert notes == ["2 photos left out: no annotation was submitted."]
    with pytest.raises(InvalidInputError, match="no task has an annotation"):
        read(DATA / "label_studio_tasks.json", "label-studio", predictions)


def min_row(task, updated="2026-11-27T17:00:00Z", **fields):
    return {"id": task, "image": f"{task}.jpg", "annotator": 1, "annotation_id": 1, "updated_at": updated, **fields}


def read_min(tmp_path, *rows):
    """Labels of the photos 1.jpg, 2.jpg, ... of an export as JSON-MIN."""
    for row in rows:
        Image.new("RGB", (8, 8)).save(tmp_path / row["image"])
    (tmp_path / "export.json").write_text(json.dumps(rows))
    dataset = load_labeled_photos(tmp_path, "label-studio", [Category(name) for name in CATEGORIES])
    return [{CATEGORIES[k] for k in row.nonzero()[0]} for row in dataset.labels], dataset.notes


def test_the_last_annotation_of_a_task_counts_in_json_min_too(tmp_path):
    first, last = min_row(1, labels="cat"), min_row(1, "2026-11-28T09:00:00Z", labels={"choices": ["dog"]})
    assert read_min(tmp_path, first, last) == ([{"dog"}], [])
    assert read_min(tmp_path, last, first) == ([{"dog"}], [])


def test_single_choices_of_json_min_count_whatever_the_control_is_called(tmp_path):
    several = min_row(2, objects={"choices": ["cat", "dog"]}, caption="dog")
    assert read_min(tmp_path, min_row(1, objects="cat"), several, min_row(3))[0] == [{"cat"}, {"cat", "dog"}, set()]
    with pytest.raises(InvalidInputError, match=r"any of objects, caption may hold the choices.*Export as JSON"):
        read_min(tmp_path, min_row(1, objects="cat", caption="a cat"), min_row(2, objects="dog"))
    assert read_min(tmp_path, min_row(1))[0] == [set()]


def test_a_file_that_is_named_is_read_whatever_lies_beside_it(predictions, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"labels": {"a.jpg": ["dog"]}}))
    (tmp_path / "corrected.json").write_text(json.dumps({"labels": {"a.jpg": ["cat"]}}))
    assert read(tmp_path / "corrected.json", "fiftyone", predictions)[0] == {"a.jpg": {"cat"}}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match=r"empty holds neither labels.json nor samples.json. Pass the file"):
        read(tmp_path / "empty", "fiftyone", predictions)


def test_photos_of_one_name_in_several_folders_are_told_apart(tmp_path):
    for name in ("a.jpg", "summer/a.jpg", "winter/a.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    (tmp_path / "labels.csv").write_text("file_name,labels\n/old/place/winter/a.jpg,cat\nold/summer/a.jpg,dog\n")
    found = load_labeled_photos(tmp_path, "csv", [Category("cat"), Category("dog")], photos_folder=tmp_path / "photos")
    assert [photo.source.parent.name for photo in found.photos] == ["winter", "summer"]


def test_uploaded_photos_are_found_by_the_name_that_they_had(predictions, tmp_path):
    result = [{"type": "choices", "value": {"choices": ["cat"]}}]
    tasks = [
        {"data": {"image": address}, "annotations": [{"result": result}]}
        for address in ("/data/upload/7/0123abcd-a.jpg", "/data/local-files/?d=photos/sub/b%20%C3%A9.jpg")
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    for name in ("a.jpg", "sub/b é.jpg"):  # of the same names, but others
        shutil.copy(predictions.root / name, tmp_path)
    dataset = load_labeled_photos(tmp_path, "label-studio", [Category("cat")], photos_folder=predictions.root)
    assert [photo.source for photo in dataset.photos] == [predictions.root / "a.jpg", predictions.root / "sub/b é.jpg"]


def test_cvat_archives_and_shapes(predictions, tmp_path):
    text = (DATA / "cvat_annotations.xml").read_text()
    with zipfile.ZipFile(tmp_path / "task_1.zip", "w") as archive:
        archive.writestr("annotations.xml", text.replace('<tag label="dog" ', '<box label="dog" xtl="1" '))
    assert read(tmp_path, "cvat", predictions)[0] == EXPECTED


def test_an_encrypted_archive_is_said_to_be_one(predictions, tmp_path):
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    content = bytearray((tmp_path / "task.zip").read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag of encryption, where both headers have it
        content[content.index(start) + flags] |= 1
    (tmp_path / "task.zip").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"task.zip can't be read as an export of CVAT: .*encrypted"):
        read(tmp_path, "cvat", predictions)


def test_polylines_of_fiftyone_have_labels_too(predictions, tmp_path):
    field = {"_cls": "Polylines", "polylines": [{"label": "cat"}, {"label": "dog"}]}
    (tmp_path / "samples.json").write_text(json.dumps({"samples": [{"filepath": "data/a.jpg", "drawn": field}]}))
    assert read(tmp_path, "fiftyone", predictions)[0] == {"a.jpg": {"cat", "dog"}}


def test_labels_that_the_model_does_not_know_are_counted(predictions, tmp_path):
    text = (DATA / "cvat_annotations.xml").read_text()
    path = tmp_path / "annotations.xml"
    path.write_text(text.replace('label="dog"', 'label="owl"').replace("<name>dog<", "<name>owl<"))
    with pytest.warns(UserWarning, match="does not know 1 of the labels: 'owl'. They are not counted"):
        found, notes = read(path, "cvat", predictions)
    assert found["a.jpg"] == {"cat"}
    assert notes == ["The model does not know 1 of the labels: 'owl'."]


def test_tables_from_spreadsheets(predictions, tmp_path):
    (tmp_path / "labels.csv").write_bytes("\ufefffile_name;labels\r\na.jpg;cat| dog \r\nnothing.png;\r\n".encode())
    assert read(tmp_path, "csv", predictions)[0] == {"a.jpg": {"cat", "dog"}, "nothing.png": set()}


@pytest.mark.parametrize(
    ("name", "text", "kind", "message"),
    [
        ("a.csv", "photo,tags\n", "csv", "needs the columns file_name or photo, and labels; it has photo, tags"),
        ("a.json", "{}", "label-studio", "is no list of tasks. Export as JSON"),
        ("a.json", '[{"data": {}, "annotations": [{}]}]', "label-studio", "task 0 has no field photo, image"),
        ("a.xml", "<annotation/>", "cvat", 'Export as "CVAT for images 1.1"'),
        ("a.xml", "<annotations>", "cvat", "can't be read as an export of CVAT"),
        ("labels.json", "[]", "fiftyone", "is no export of FiftyOne"),
        ("a.json", '[{"data": {"photo": "a"}, "annotations": [5]}]', "label-studio", "a.json: task 0 can't be read"),
        ("a.json", '[{"data": "a.jpg", "annotations": [{}]}]', "label-studio", "a.json: task 0 can't be read"),
        (
            "a.json",
            '[{"data": {}}, {"data": {"photo": "a"}, "annotations": [{"result": [{"type": "choices", "value": 0}]}]}]',
            "label-studio",
            "a.json: task 1 can't be read",
        ),
        ("a.json", '{"samples": [{}, 5]}', "fiftyone", "a.json: sample 0 has no filepath"),
        (
            "a.json",
            '{"samples": [{"a": {"_cls": "Classification"}, "filepath": "a"}, {"a": {"_cls": "X"}, "filepath": "b"}]}',
            "fiftyone",
            "sample 1 can't be read .ValueError: its labels are of the kind 'X'; known are Classifications",
        ),
        ("a.json", '{"labels": {"a": [["cat"]]}}', "fiftyone", "the label of 'a' can't be read"),
        ("a.json", '{"labels": {"a": [0]}, "classes": 5}', "fiftyone", "classes can't be read"),
        ("a.parquet", "PAR1", "parquet", "can't be read as parquet"),
        ("samples.json", '{"samples": [{"filepath": 3}]}', "fiftyone", "sample 0 has no filepath"),
        ("samples.json", '{"samples": [{"filepath": "a.jpg"}]}', "fiftyone", "labels can be in no field"),
    ],
)
def test_what_is_no_export_is_said_in_one_line(name, text, kind, message, tmp_path, predictions):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=message) as raised:
        read(tmp_path / name, kind, predictions)
    assert "\n" not in str(raised.value)


def test_a_quote_that_never_ends_is_said(predictions, tmp_path):
    (tmp_path / "a.csv").write_text('photo,labels\n"' + 200_000 * "a")
    with pytest.raises(InvalidInputError, match=r"line \d+, is no valid CSV: field larger"):
        read(tmp_path / "a.csv", "csv", predictions)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["", "cat", "a.jpg", "choices", "Classifications"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(JUNK, max_size=3) | st.fixed_dictionaries({"labels": JUNK, "samples": JUNK}), data=st.data())
def test_any_json_is_read_or_refused_in_one_line(content, data, tmp_path_factory, predictions):
    folder = tmp_path_factory.mktemp("junk")
    kind = data.draw(st.sampled_from(["label-studio", "fiftyone"]))
    (folder / "labels.json").write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(folder / "labels.json", kind, predictions)
        except InvalidInputError as error:
            assert "\n" not in str(error)
