import numpy as np

from wordsight.description_gen.questions import load_questions
from wordsight.description_gen.scenes import LIKELY_SCENES, likely_scenes

SCENES = ["in a park", "in a kitchen", "at sea", "in a barn", "on a roof", "in the snow"]


def test_what_is_likely_after_anything_says_nothing():
    rng = np.random.default_rng(0)
    frequent = np.array([0.0, -8, -8, -8, -8, -8])  # parks are likely anyway
    scores = frequent + rng.normal(0, 0.1, (4, 6))
    scores[0, 1] += 2  # the first category goes with kitchens, the second with the sea
    scores[1, 2] += 2
    kitchens, seas = likely_scenes(scores, 2, SCENES)
    assert kitchens[0] == "in a kitchen" and seas[0] == "at sea"
    assert len(kitchens) == len(seas) == LIKELY_SCENES


def test_a_category_alone_is_compared_with_the_references():
    scores = np.array([[-1.0, -2, -9, -9, -9, -9], [-1, -8, -9, -9, -9, -9], [-1, -7, -9, -9, -9, -9]])
    assert likely_scenes(scores, 1, SCENES) == [["in a kitchen", "in a park", "at sea", "in a barn", "on a roof"]]


def test_the_constant_of_a_row_does_not_matter():
    scores = np.random.default_rng(1).normal(size=(5, 6))
    assert likely_scenes(scores + np.arange(5)[:, None], 3, SCENES) == likely_scenes(scores, 3, SCENES)


def test_scenes_are_shipped_in_the_languages_of_the_questions_alone():
    english, chinese, german = (load_questions(language) for language in ("en", "zh", "de"))
    assert len(english.places) == len(set(english.places)) == len(set(chinese.places)) == len(chinese.places)
    assert not german.places
    for questions in (english, chinese):
        assert questions.place_likelihood.endswith("{scene}"), "what is scored is how likely the scene comes after"
