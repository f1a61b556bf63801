"""Tables and image folders: read by pandas and `datasets`."""

import datasets
import pandas as pd
import pytest

from tests.fixtures.predictions import BROKEN, CATEGORIES, LABELS, make_predictions
from wordsight.pipelines.formats.image_folder import write_image_folder
from wordsight.pipelines.formats.predictions import Predictions
from wordsight.pipelines.formats.tables import write_csv, write_jsonl
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    return make_predictions(tmp_path_factory.mktemp("predictions"))


def test_csv_has_columns_that_pandas_parts(predictions, tmp_path):
    write_csv(predictions, tmp_path)
    table = pd.read_csv(tmp_path / "labels.csv").set_index("file_name")
    columns = table["labels"].str.get_dummies(sep="|")
    for name, found in LABELS.items():
        assert {label for label in columns if columns.loc[name, label]} == set(found)
    assert table.loc[BROKEN, "error"] == "not in a format that Pillow reads"
    assert table.loc["a.jpg", "scores"] == "0.9123|0.7500"


def test_csv_refuses_names_with_its_separator(predictions, tmp_path):
    odd = Predictions(predictions.folder, predictions.root, [*CATEGORIES, "this|that"], "")
    with pytest.raises(InvalidInputError, match=r"'this\|that' has one in its name. Pass --format jsonl"):
        write_csv(odd, tmp_path)


def test_jsonl(predictions, tmp_path):
    write_jsonl(predictions, tmp_path)
    rows = datasets.Dataset.from_json(str(tmp_path / "labels.jsonl"), cache_dir=str(tmp_path / "cache"))
    assert {row["file_name"]: row["labels"] for row in rows if not row["error"]} == {
        name: list(found) for name, found in LABELS.items()
    }
    assert [row["file_name"] for row in rows if row["error"]] == [BROKEN]


def test_image_folder_loads_with_photos_and_labels(predictions, tmp_path):
    write_image_folder(predictions, tmp_path)
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "dataset"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted(map(tuple, rows["labels"])) == sorted(tuple(found) for found in LABELS.values())
    assert all(row["image"].size in {(32, 24), (24, 32)} for row in rows)
    assert len(list((tmp_path / "dataset").rglob("*.*"))) == len(LABELS) + 1
