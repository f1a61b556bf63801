"""Tiles: they cover a photo of any shape, overlap and follow its shape; their scores are combined by the formula."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from wordsight.modeling.scoring import combine_views
from wordsight.modeling.tiling import LONGEST, MOST, TILINGS, check_tiling, plan_tiles, smallest_side, whole_weight
from wordsight.utils.errors import InvalidInputError

SIZES = [(500, 500), (640, 480), (480, 640), (600, 400), (1920, 1080), (1000, 480), (1200, 300), (300, 1200), (97, 89)]
TINY = [(1, 1), (3, 1), (1, 100), (2, 2), (5, 7)]


@pytest.mark.parametrize("size", SIZES + TINY + [(10_000, 100)])
@pytest.mark.parametrize("tiles", TILINGS)
def test_the_whole_comes_first_and_tiles_cover_it(size, tiles):
    width, height = size
    whole, *parts = plan_tiles(width, height, tiles)
    assert whole == (0, 0, width, height)
    assert len(set(parts)) == len(parts) and whole not in parts
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in parts:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        seen[top:bottom, left:right] = True
    assert seen.all() or not parts
    assert bool(parts) == (tiles != "off" and size != (1, 1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tiles", ["auto", "fine"])
def test_tiles_are_near_squares_that_overlap_by_a_third(size, tiles):
    parts = plan_tiles(*size, tiles)[1:]
    assert len(parts) <= MOST[tiles]
    for left, top, right, bottom in parts:
        long, short = sorted((right - left, bottom - top), reverse=True)
        assert long <= LONGEST * short + 2  # pixels are whole
        assert short >= min(size) * smallest_side(tiles) - 1
    for side in (0, 1):
        spans = sorted({(box[side], box[side + 2]) for box in parts})
        for (start, end), (after, _) in pairwise(spans):
            assert (end - after) / (end - start) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("size", "auto", "fine"),
    [
        ((500, 500), (2, 2), (3, 3)),
        ((640, 480), (2, 2), (3, 3)),
        ((600, 400), (3, 2), (4, 3)),
        ((400, 600), (2, 3), (3, 4)),
        ((1200, 300), (4, 1), (7, 2)),
        ((300, 1200), (1, 4), (2, 7)),
    ],
)
def test_their_number_follows_the_shape(size, auto, fine):
    for tiles, (columns, rows) in (("auto", auto), ("fine", fine)):
        parts = plan_tiles(*size, tiles)[1:]
        assert len({left for left, *_ in parts}) == columns and len({top for _, top, *_ in parts}) == rows
        assert len(parts) == columns * rows


def test_a_turned_photo_has_turned_tiles():
    for tiles in TILINGS:
        turned = {(top, left, bottom, right) for left, top, right, bottom in plan_tiles(400, 900, tiles)}
        assert turned == set(plan_tiles(900, 400, tiles))


def test_scores_of_views_by_the_formula():
    scores, counts, weights = np.random.default_rng(0).normal(size=(8, 5)), [1, 4, 3], [0.5, 0.5, 0.2]
    expected = np.stack(
        [
            scores[0],
            0.5 * scores[1] + 0.5 * scores[2:5].max(0) - 0.28 * scores[1].std(ddof=1),
            0.2 * scores[5] + 0.8 * scores[6:8].max(0) - 0.28 * scores[5].std(ddof=1),
        ]
    )
    np.testing.assert_allclose(combine_views(torch.from_numpy(scores), counts, weights).numpy(), expected)
    # Scores of other prompts are brought down as much, so that both stay comparable.
    others = combine_views(torch.from_numpy(scores[:, :2]), counts, weights, reference=torch.from_numpy(scores))
    np.testing.assert_allclose(others.numpy(), expected[:, :2])
    assert combine_views(torch.from_numpy(scores[:, :1]), counts, weights).isfinite().all(), "one category, no spread"


def test_the_whole_counts_less_the_more_it_is_squashed():
    assert [whole_weight(*size) for size in ((300, 300), (640, 480), (480, 640))] == [0.5] * 3
    assert whole_weight(600, 400) == pytest.approx(0.4) and whole_weight(300, 1200) == pytest.approx(0.2)


def test_without_tiles_scores_are_the_same_object():
    scores = torch.randn(3, 4)
    assert combine_views(scores, [1, 1, 1], [0.5] * 3) is scores


def test_unknown_names_are_refused():
    assert [check_tiling(name) for name in TILINGS] == list(TILINGS)
    with pytest.raises(InvalidInputError, match=r"Unknown tiles 'coarse'\. Pass one of off, auto, fine"):
        check_tiling("coarse")
