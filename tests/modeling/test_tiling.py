"""Tiles: they cover a photo of any shape, overlap and follow its shape; their scores are combined by the formula."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from wordsight.modeling.scoring import combine_views, crowdedness
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


def by_the_formula(views, weight):
    """A photo's scores from those of the whole and of its tiles, as `combine_views` says."""
    whole, tiles = views[0], views[1:]
    pairs = [np.corrcoef(tiles[i], tiles[j])[0, 1] for i in range(len(tiles)) for j in range(i)]
    crowded = np.clip((0.6 - np.mean(pairs)) / 0.35, 0, 1)
    weight = weight * (1 - 0.3 * crowded)
    return weight * whole + (1 - weight) * tiles.max(0) - 0.28 * (1 - crowded) * whole.std(ddof=1)


def test_scores_of_views_by_the_formula():
    rng = np.random.default_rng(0)
    one_scene = rng.normal(size=30) + 0.1 * rng.normal(size=(4, 30))
    between = rng.normal(size=30) + rng.normal(size=(5, 30))
    many_scenes = rng.normal(size=(3, 30))
    photos, weights = [rng.normal(size=(1, 30)), one_scene, between, many_scenes], [0.5, 0.5, 0.5, 0.2]
    scores, counts = torch.from_numpy(np.concatenate(photos)), [len(photo) for photo in photos]
    crowded = [crowdedness(torch.from_numpy(photo[1:])) for photo in photos]
    assert crowded[:2] == [0, 0] and 0.1 < crowded[2] < 0.9 and crowded[3] == 1
    expected = [
        photo[0] if len(photo) == 1 else by_the_formula(photo, w) for photo, w in zip(photos, weights, strict=True)
    ]
    np.testing.assert_allclose(combine_views(scores, counts, weights).numpy(), np.stack(expected), atol=1e-6)
    # Scores of other prompts are brought down as much, so that both stay comparable.
    others = combine_views(scores[:, :2], counts, weights, reference=scores)
    np.testing.assert_allclose(others.numpy(), np.stack(expected)[:, :2], atol=1e-6)
    assert combine_views(scores[:, :1], counts, weights).isfinite().all(), "one category, no spread"


def test_how_crowded_a_photo_is_needs_several_tiles_and_categories():
    scores = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert crowdedness(scores) > 0
    assert crowdedness(scores[:1]) == crowdedness(scores[:, :4]) == 0
    assert crowdedness(torch.ones(4, 8)) == 0, "of equal scores there is no correlation"


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
