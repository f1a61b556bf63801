"""What a task does with photos, without a cluster: every row is there behind it, whatever some of them hold."""

import numpy as np
import pyarrow as pa
import pytest
from transformers.models.clip import CLIPImageProcessorPil

from wordsight.scale.labeling import ROWS_AT_A_TIME, _prepared, prepare
from wordsight.scale.reading import ROWS
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def processor():
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


@pytest.mark.parametrize("count", [0, 5, ROWS_AT_A_TIME, ROWS_AT_A_TIME + 1])
def test_the_row_behind_the_last_photo_may_be_alone(count, processor, photos_dir):
    content = (photos_dir / "0.jpg").read_bytes()
    rows = [{"shard": 0, "row": row, "photo": str(row), "image": content, "error": None} for row in range(count)]
    rows.append({"shard": 0, "row": count, "photo": None, "image": None, "error": ""})
    parts = [*prepare(pa.Table.from_pylist(rows, schema=ROWS), processor, "off", "image")]
    table = pa.concat_tables(parts)
    assert table["row"].to_pylist() == list(range(count + 1))
    assert table["error"].to_pylist() == [None] * count + [""]
    assert [pixels is not None for pixels in table["pixels"].to_pylist()] == [True] * count + [False]


def test_photos_that_can_t_be_fetched_are_all_told(processor):
    rows = [{"shard": 0, "row": row, "photo": str(row), "image": None, "error": "gone"} for row in range(40)]
    table = pa.concat_tables(prepare(pa.Table.from_pylist(rows, schema=ROWS), processor, "off", "image"))
    assert table["error"].to_pylist() == ["gone"] * 40


def test_an_odd_array_is_an_error_of_its_row(processor):
    pytest.importorskip("ray")
    from ray.data.extensions import ArrowTensorArray

    fine = np.full((8, 6, 3), 200, dtype=np.int64)
    arrays = ArrowTensorArray.from_numpy(np.stack([fine, fine - 300, fine]))
    if isinstance(arrays, tuple):
        arrays = arrays[0]
    table = pa.table({"image": arrays})
    errors = pa.concat_tables(prepare(table, processor, "off", "image"))["error"].to_pylist()
    assert errors[0] is None and errors[2] is None and "has values from -" in errors[1]


def test_columns_are_checked(processor):
    with pytest.raises(InvalidInputError, match="no column 'image'"):
        next(prepare(pa.table({"photo": [b""]}), processor, "off", "image"))
    assert _prepared([], processor, "off") == []
