"""Groups of categories, on cases with an obvious answer."""

import json

import numpy as np
import pytest

from wordsight.modeling.grouping import attribute_groups, cooccurrence_graph, cooccurrence_groups, read_groups
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat", "spoon", "dog", "fork", "horse", "knife"]
ANIMALS, CUTLERY = ["cat", "dog", "horse"], ["spoon", "fork", "knife"]


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    centers = np.eye(8)[[0, 1, 0, 1, 0, 1]]
    return (centers + 0.05 * rng.standard_normal((6, 8))).astype(np.float32)


def test_categories_that_look_alike_share_a_group(embeddings):
    assert attribute_groups(NAMES, embeddings) == [ANIMALS, CUTLERY]


def test_number_of_groups_can_be_given(embeddings):
    groups = attribute_groups(NAMES, embeddings, num_groups=3)
    assert len(groups) == 3 and sorted(name for group in groups for name in group) == sorted(NAMES)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_categories_make_one_group(embeddings, count):
    assert attribute_groups(NAMES[:count], embeddings[:count]) == [NAMES[:count]]


def test_categories_seen_together_share_a_group():
    answers = {"cat": {"spoon": 0.9}, "spoon": {"dog": 0.8}, "fork": {"knife": 1.0}, "horse": {"knife": 0.7}}
    no_sentence = np.zeros((0, 6), dtype=np.int8)
    assert cooccurrence_groups(cooccurrence_graph(NAMES, answers, no_sentence)) == [
        ["cat", "spoon", "dog"],
        ["fork", "horse", "knife"],
    ]


def test_sentences_count_as_well():
    rows = [[1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 0]]
    assert cooccurrence_groups(cooccurrence_graph(NAMES, {}, np.array(rows * 3, dtype=np.int8))) == [ANIMALS, CUTLERY]


def test_each_category_has_one_group_even_alone():
    groups = cooccurrence_groups(cooccurrence_graph(NAMES, {}, np.zeros((0, 6), dtype=np.int8)))
    assert groups == [[name] for name in NAMES]


def test_files_of_groups(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text(json.dumps({"cooccurrence_groups": [["a"], ["b"]]}))
    assert read_groups(path) == (None, [["a"], ["b"]])
    for content in ("[]", "{}", '{"groups": []}', "{"):
        path.write_text(content)
        with pytest.raises(InvalidInputError, match=r"groups\.json"):
            read_groups(path)
