"""The paired bootstrap against a slow one, against scipy's, and where there is nothing to tell apart."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score

from wordsight.modeling import metrics
from wordsight.modeling.paired_bootstrap import paired_difference


def slow_map(scores, labels, photos, categories):
    """MAP over the categories with a positive, of photos one by one, a photo as often as it is drawn."""
    values = []
    for k in categories:
        counted = [photo for photo in photos if labels[photo, k] != -1]
        if any(labels[photo, k] for photo in counted):
            values.append(average_precision_score(labels[counted, k], scores[counted, k]))
    return np.mean(values) if values else np.nan


def slow_difference(runs, baseline, labels, min_positives, resamples, seed):
    """As the docstring of `paired_difference` has it, without a trick."""
    photos, count = np.arange(len(labels)), len(runs)
    categories = [k for k in range(labels.shape[1]) if (labels[:, k] == 1).sum() >= min_positives]
    of_photos, of_runs = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    means = []
    for _ in range(resamples):
        drawn = np.repeat(photos, of_photos.multinomial(len(photos), [1 / len(photos)] * len(photos)))
        chosen = np.repeat(np.arange(count), of_runs.multinomial(count, [1 / count] * count))
        against = slow_map(baseline, labels, drawn, categories)
        means.append(np.mean([slow_map(runs[run], labels, drawn, categories) - against for run in chosen]))
    means = [mean for mean in means if not np.isnan(mean)]
    whole = slow_map(baseline, labels, photos, categories)
    by_run = [slow_map(run, labels, photos, categories) - whole for run in runs]
    return by_run, np.percentile(means, [2.5, 97.5]), np.mean(np.array(means) > 0), len(means)


def measured(photos, runs, seed=0):
    """Scores with ties and labels with photos that don't count; runs that are better than the baseline by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=(photos, 4))
    return [(labels + rng.normal(0, 1, labels.shape)).round(1) for _ in range(runs + 1)], labels


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("photos", [5, 40])
def test_against_a_slow_one(runs, photos):
    """With 5 photos, many resamples lack a category, and some lack all."""
    (baseline, *scores), labels = measured(photos, runs)
    labels[1:, 3] = 0
    labels[0, 3] = 1  # a category with one positive
    for min_positives in (1, 2):
        found = paired_difference(scores, baseline, labels, min_positives, resamples=60, seed=7)
        by_run, interval, win_rate, resamples = slow_difference(scores, baseline, labels, min_positives, 60, 7)
        assert found.by_run == pytest.approx(by_run, abs=1e-12)
        assert found.difference == pytest.approx(np.mean(by_run), abs=1e-12)
        assert found.interval == pytest.approx(interval, abs=1e-12)
        assert (found.win_rate, found.resamples) == (pytest.approx(win_rate), resamples)


@pytest.mark.parametrize("runs", [1, 3])
def test_against_scipy(runs):
    """Scipy draws other resamples, so the ends of the interval differ by what chance makes of 300."""
    (baseline, *scores), labels = measured(60, runs)
    categories = range(labels.shape[1])

    def statistic(photos, chosen=(0,)):
        against = slow_map(baseline, labels, photos.astype(int), categories)
        return np.mean([slow_map(scores[int(run)], labels, photos.astype(int), categories) - against for run in chosen])

    samples = [np.arange(60), np.arange(runs)][: 1 + (runs > 1)]  # scipy asks for two of what it resamples
    expected = bootstrap(samples, statistic, n_resamples=300, vectorized=False, method="percentile", rng=1)
    low, high = expected.confidence_interval
    found = paired_difference(scores, baseline, labels)
    assert found.interval == pytest.approx((low, high), abs=0.15 * (high - low))
    assert found.win_rate == pytest.approx((expected.bootstrap_distribution > 0).mean(), abs=0.08)


def test_other_seeds_widen_the_interval():
    """Two runs that are far apart: the interval of both reaches from one to the other, that of one run does not."""
    (baseline, first), labels = measured(200, 1)
    good, bad = labels + 0.1 * first, -labels + 0.1 * first
    both = paired_difference([good, bad], baseline, labels)
    assert both.interval[0] < both.by_run[1] / 2 < 0 < both.by_run[0] / 2 < both.interval[1]
    alone = paired_difference([good], baseline, labels)
    assert alone.win_rate == 1
    assert alone.interval[1] - alone.interval[0] < 0.2 * (both.interval[1] - both.interval[0])


@pytest.mark.parametrize("runs", [1, 3])
def test_equal_scores_never_win(runs):
    (scores, _), labels = measured(30, 1)
    found = paired_difference([scores] * runs, scores, labels)
    assert (found.by_run, found.interval, found.win_rate) == ((0.0,) * runs, (0.0, 0.0), 0.0)


def test_one_photo():
    """Every resample is that photo, which any score ranks first: nothing to tell apart."""
    found = paired_difference([np.array([[2.0, 1.0]])], np.array([[1.0, 2.0]]), np.array([[1, 0]]))
    assert (found.difference, found.interval, found.win_rate, found.resamples) == (0, (0, 0), 0, 1000)


def test_category_that_is_never_positive_counts_for_neither():
    (baseline, scores), labels = measured(30, 1)
    expected = paired_difference([scores], baseline, labels)
    wider = [np.hstack([part, np.ones((30, 1), part.dtype)]) for part in (scores, baseline)]
    assert paired_difference([wider[0]], wider[1], np.hstack([labels, np.zeros((30, 1), int)])) == expected


def test_blocks_change_nothing(monkeypatch):
    (baseline, *scores), labels = measured(40, 2)
    expected = paired_difference(scores, baseline, labels)
    monkeypatch.setattr(metrics, "RESAMPLE_CELLS", 40 * 7)
    assert paired_difference(scores, baseline, labels) == expected
