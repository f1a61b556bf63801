"""The world whose truth is known: scenes, what is said of them, and a small CLIP that learns them."""

from dataclasses import replace

import numpy as np
import pytest

from ablations.world.captions import caption, describe
from ablations.world.clip import SMALL, trained_clip, untrained
from ablations.world.data import write_photos
from ablations.world.scenes import HEIGHT, WIDTH, draw_scene
from ablations.world.study import Bench, best_zero_shot, difference, mean_ap, runs_of
from ablations.world.truth import LOOKS, NAMES, THEMES, World, multi_hot
from wordsight import label_texts, load_texts

PLANTED, UNPLANTED = World("planted"), World("unplanted")


def scenes_of(world, count, seed=0):
    rng = np.random.default_rng(seed)
    return [draw_scene(world, rng) for _ in range(count)]


def labels_of(texts):
    return np.array(label_texts(texts, PLANTED.categories)["labels"])


def test_a_seed_gives_the_same_scenes():
    first, again, other = ([(s.pixels.tobytes(), s.things) for s in scenes_of(PLANTED, 3, n)] for n in (0, 0, 1))
    assert first == again != other
    assert scenes_of(PLANTED, 1)[0].pixels.shape == (HEIGHT, WIDTH, 3)


def test_things_of_a_theme_are_together_only_where_that_is_planted():
    shares = {}
    for world in (PLANTED, UNPLANTED):
        pairs = [
            world.theme_of(one.category) == world.theme_of(two.category)
            for scene in scenes_of(world, 400)
            for one in scene.things
            for two in scene.things
            if one.category < two.category
        ]
        shares[world.kind] = np.mean(pairs)
    chance = 3 / (len(NAMES) - 1)
    assert shares["planted"] > 4 * chance
    assert abs(shares["unplanted"] - chance) < 0.05


def test_things_have_the_color_of_their_look_only_where_that_is_planted():
    for world, least, most in ((PLANTED, 0.65, 0.85), (UNPLANTED, 0.05, 0.2)):
        things = [thing for scene in scenes_of(world, 400) for thing in scene.things]
        assert least < np.mean([thing.color == LOOKS[world.look_of(thing.category)][0] for thing in things]) < most
    # A look is in no theme twice, so that neither kind of group follows from the other.
    looks = [[PLANTED.look_of(NAMES.index(name)) for name in names] for names in THEMES.values()]
    assert all(len(set(of_theme)) == len(of_theme) for of_theme in looks)


def test_captions_name_some_of_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    scenes = scenes_of(PLANTED, 200)
    named = labels_of([caption(scene, rng) for scene in scenes])
    there = np.stack([multi_hot([thing.category for thing in scene.things]) for scene in scenes])
    assert (named <= there).all()
    assert (named.sum(axis=1) > 0).all()
    assert 0.6 < named.sum() / there.sum() < 0.95


def test_descriptions_are_labeled_with_the_things_they_are_about():
    texts, things, kinds = zip(*(describe(PLANTED, number) for number in range(200)), strict=True)
    assert (labels_of(list(texts)) == np.stack([multi_hot(of_one) for of_one in things])).all()
    assert kinds[:2] == ("single", "multiple")


def test_labels_of_some_things_leave_out_photos_that_have_others(tmp_path):
    photos = write_photos(PLANTED, 40, tmp_path, seed=11)
    assert (photos.labels_of() == photos.dataset.labels).all()
    edge, middle = photos.labels_of(at_edge=True), photos.labels_of(at_edge=False)
    assert ((edge == 1) == (middle == -1)).all() and (edge == 1).any() and (middle == 1).any()
    by_size = [photos.labels_of(size=size) == 1 for size in ("small", "medium", "large")]
    assert (sum(part.astype(int) for part in by_size) == (photos.dataset.labels == 1)).all()


@pytest.fixture(scope="module", params=["trained", "untrained"])
def bench(request, tmp_path_factory):
    """The small CLIP, trained or as it was before."""
    folder = tmp_path_factory.mktemp(request.param)
    encoder = trained_clip(SMALL if request.param == "trained" else untrained(SMALL), folder)
    return request.param, Bench.make(PLANTED, encoder, folder / "study", photos=250, seed=11, sentences=400)


@pytest.mark.slow
def test_a_trained_clip_knows_the_world_and_prompts_can_be_learned_on_it(bench):
    kind, bench = bench
    scores, labels = bench.score([("learned 0", bench.learn(num_train_epochs=5))]), bench.photos.dataset.labels
    chance = 100 * labels.mean()
    zero_shot = mean_ap(scores[best_zero_shot(scores, labels)], labels)
    (learned,) = (mean_ap(run, labels) for run in runs_of("learned", scores))
    assert len(load_texts(bench.texts)[0]) > 300
    if kind == "trained":
        assert zero_shot > 1.7 * chance
        assert learned > 1.7 * chance
    else:
        assert max(zero_shot, learned) < 1.5 * chance


def test_the_difference_of_equal_runs_is_nothing():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 4)) < 0.3).astype(np.int8)
    runs = [rng.normal(size=(60, 4)) for _ in range(3)]
    assert difference(runs[:1], runs[:1], labels, resamples=50) == (0, 0, 0)
    better, low, high = difference([labels.astype(float)] * 2, runs[:1], labels, resamples=50)
    assert 0 < low < better < high


def test_settings_have_folders_of_their_own(tmp_path):
    tiny = replace(untrained(SMALL), scenes=4, width=32, vision_layers=1, text_layers=1)
    folders = {trained_clip(settings, tmp_path) for settings in (tiny, tiny, replace(tiny, seed=1))}
    assert len(folders) == 2
    assert len(list(tmp_path.iterdir())) == 2
