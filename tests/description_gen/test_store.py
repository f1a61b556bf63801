"""Answers on disk: torn and damaged lines."""

import pytest

from wordsight.description_gen.store import AnswerStore
from wordsight.utils.errors import InvalidInputError


def test_torn_line_is_cut_off(tmp_path):
    path = tmp_path / ".progress" / "answers.jsonl"
    with AnswerStore(path, {"seed": 0}) as store:
        store.put("a", 1)
        store.put("b", "ü")
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        with AnswerStore(path, {"seed": 0}) as store:
            survived = dict(store.answers)
            assert survived in ({}, {"a": 1})
            store.put("c", 3)
        with AnswerStore(path, {"seed": 0}) as store:
            assert store.answers == survived | {"c": 3}


@pytest.mark.parametrize(
    "damage", [b"garbage\n", b"\xff\xfe\n", b"[1]\n", b"{}\n", b'{"key": 1, "answer": 2}\n', b"\n"]
)
def test_a_damaged_line_costs_that_answer_alone(damage, tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerStore(path, {"seed": 0}) as store:
        for number in range(60):
            store.put(f"a{number}", number)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[46] = damage
    path.write_bytes(b"".join(lines))
    with pytest.warns(UserWarning, match="1 damaged line passed over"), AnswerStore(path, {"seed": 0}) as store:
        assert store.answers == {f"a{number}": number for number in range(60) if number != 45}
        store.put("a45", 45)
    with pytest.warns(UserWarning, match="damaged"), AnswerStore(path, {"seed": 0}) as store:
        assert len(store.answers) == 60


def test_damaged_settings_are_an_error_that_changes_nothing(tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerStore(path, {"seed": 0}) as store:
        store.put("a", 1)
    damaged = b"x" + path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(InvalidInputError, match=r"first line.*is damaged.*--overwrite"):
        AnswerStore(path, {"seed": 0})
    assert path.read_bytes() == damaged
