"""No cluster where one was said to be, and errors of a cluster: one line each."""

import pytest

from wordsight.scale.cluster import connected, readable_errors
from wordsight.utils.errors import InvalidInputError, WordsightError

exceptions = pytest.importorskip("ray.exceptions")
DEAD = "Traceback:\n  File x\nwordsight.utils.errors.InvalidInputError: The model 'm' can't be loaded."


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "a:b"])
def test_nothing_answers(address):
    with pytest.raises(InvalidInputError, match=f"Nothing answers at '{address}'.*Pass --ray auto"), connected(address):
        pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (exceptions.RayError(DEAD), "On a machine of the cluster: The model 'm' can't be loaded."),
        (exceptions.RayTaskError("f", "", InvalidInputError("No column.")), "No column."),
        (exceptions.RayTaskError("f", "", ModuleNotFoundError("No module named 'x'")), "Install the same wordsight on"),
        (exceptions.RayTaskError("f", "", ValueError("first\nlast")), "The job failed on the cluster: last."),
    ],
)
def test_errors_of_the_cluster_fit_in_a_line(error, message):
    with pytest.raises(WordsightError) as raised, readable_errors():
        raise error
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
