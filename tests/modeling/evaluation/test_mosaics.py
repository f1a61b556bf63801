"""Mosaics: photos are where they belong, labels are all of them, figures follow from both; the command prints them."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.modeling.test_modeling import NAMES, make_model
from wordsight.cli import app
from wordsight.description_gen.categories import Category
from wordsight.modeling.evaluation.datasets import EvaluationDataset, load_labeled_photos
from wordsight.modeling.evaluation.labeled_photo import LabeledPhoto
from wordsight.modeling.evaluation.mosaics import FEWEST, MOST, make_mosaics
from wordsight.modeling.evaluation.options import parse_layout
from wordsight.modeling.metrics import recall_at_labels
from wordsight.pipelines.image_loader import open_photo, photo_batches
from wordsight.utils.errors import InvalidInputError

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250), (250, 0, 250)]


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    """One color and one or two labels a photo; wide and high ones, too."""
    folder = tmp_path_factory.mktemp("colors")
    rows = []
    for number, color in enumerate(COLORS):
        Image.new("RGB", (60 + 30 * number, 80), color).save(folder / f"{number}.png")
        labels = {NAMES[number % len(NAMES)], NAMES[number // 2]}
        rows.append({"file_name": f"{number}.png", "labels": sorted(labels)})
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def dataset(photos_dir):
    return load_labeled_photos(photos_dir, "jsonl", [Category(name) for name in NAMES])


@pytest.mark.parametrize("layout", ["2x2", "4x1", "1x4", "3x2"])
def test_labels_are_those_of_the_photos_that_are_seen(dataset, layout):
    columns, rows = parse_layout(layout)
    mosaics = make_mosaics(dataset, layout, open_photo)
    assert mosaics.name.endswith(f", {layout}")
    for mosaic, labels in zip(mosaics.photos, mosaics.labels, strict=True):
        picture = open_photo(mosaic.source)
        assert picture.size == (300 * columns, 300 * rows)
        centers = [(150 + 300 * c, 150 + 300 * r) for r in range(rows) for c in range(columns)]
        seen = [COLORS.index(picture.getpixel(center)) for center in centers]
        assert len(set(seen)) == columns * rows, "no photo twice"
        np.testing.assert_array_equal(labels, dataset.labels[seen].max(axis=0))
        assert all(dataset.photos[number].name in mosaic.name for number in seen)


def test_they_are_the_same_for_the_same_seed_and_enough(dataset):
    first, again = (make_mosaics(dataset, "2x2", open_photo) for _ in range(2))
    assert [photo.name for photo in first.photos] == [photo.name for photo in again.photos]
    other = make_mosaics(dataset, "2x2", open_photo, seed=1)
    assert [photo.name for photo in first.photos] != [photo.name for photo in other.photos]
    assert len(first.photos) == FEWEST
    copies = EvaluationDataset("many", dataset.photos * 100, np.tile(dataset.labels, (100, 1)), dataset.sizes, [])
    assert len(make_mosaics(copies, "2x2", open_photo).photos) == MOST


def test_what_does_not_count_in_one_photo_counts_where_another_has_it(dataset):
    photos = [LabeledPhoto(str(number), dataset.photos[number].source, frozenset()) for number in range(2)]
    labels = np.array([[1, 0, -1, -1], [-1, 0, 0, 1]], np.int8)
    mosaics = make_mosaics(EvaluationDataset("two", photos, labels, np.zeros_like(labels), []), "2x1", open_photo)
    assert {tuple(row) for row in mosaics.labels.tolist()} == {(1, 0, -1, 1)}


def test_workers_open_them(dataset, tiny_clip_dir):
    """They go to other processes, and come back as the picture does that is opened here."""
    mosaics = make_mosaics(dataset, "2x1", open_photo)
    source = pickle.loads(pickle.dumps(mosaics.photos[0].source))
    assert open_photo(source).tobytes() == open_photo(mosaics.photos[0].source).tobytes()
    processor = make_model(str(tiny_clip_dir)).image_encoder.image_processor
    batches = photo_batches([photo.source for photo in mosaics.photos], processor, 8, num_workers=1, tiles="auto")
    found = list(batches)
    assert sum(len(batch.rows) for batch in found) == FEWEST and not any(batch.unreadable for batch in found)
    assert all(batch.num_views == [3] * len(batch.rows) for batch in found)


@pytest.mark.parametrize("layout", ["1x1", "2", "0x2", "10x1", "2 x 2", "two"])
def test_what_is_no_layout(layout):
    with pytest.raises(InvalidInputError, match=r"is no layout\. Pass columns x rows"):
        parse_layout(layout)


def test_too_few_photos(dataset):
    with pytest.raises(InvalidInputError, match=r"--mosaic 3x3 takes 9 photos, and .* has 6"):
        make_mosaics(dataset, "3x3", open_photo)


def test_recall_at_the_number_of_labels():
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [9.0, 1.0, 2.0, 0.0]])
    labels = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [-1, 0, 1, 0]])
    # The first photo has two labels, one of them among its two best; the third's best does not count.
    assert recall_at_labels(scores, labels) == pytest.approx(2 / 3)


def test_the_command(photos_dir, tiny_clip_dir, tmp_path):
    make_model(str(tiny_clip_dir)).save_pretrained(tmp_path / "model")
    command = ["evaluate", str(tmp_path / "model"), "--data", str(photos_dir), "--methods", "learned,zero-shot"]
    options = ["--mosaic", "2x1", "--mosaic", "1x3", "--tiles", "auto", "--json", str(tmp_path / "figures.json")]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    assert "Mosaics; tiles: auto" in result.output and "recall@n" in result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["tiles"] == "auto" and list(figures["mosaics"]) == ["2x1", "1x3"]
    for of_mosaics in figures["mosaics"].values():
        assert of_mosaics["photos"] == FEWEST and len(of_mosaics["results"]) == 2
        assert all(0 <= row["recall_at_labels"] <= 1 for row in of_mosaics["results"])
    refused = CliRunner().invoke(app, [*command, "--mosaic", "big"])
    assert "is no layout" in str(refused.exception)


def test_the_scores_are_the_pipeline_s(dataset, tiny_clip_dir):
    """Of mosaics, with tiles: what `evaluate` measures is what users get."""
    from tests.pipelines.test_heatmaps import labeler_of
    from wordsight.modeling.evaluation.methods import MethodFactory
    from wordsight.modeling.evaluation.run import evaluate_methods

    model = make_model(str(tiny_clip_dir))
    mosaics = make_mosaics(dataset, "3x1", open_photo)
    method = MethodFactory(model, model.load_text_encoder()).make("learned")
    evaluation = evaluate_methods(model, [method], mosaics, photo_batches, options=("none",), tiles="auto")
    labeler = labeler_of(model)
    scale, threshold = np.array(model.config.score_scale), np.array(model.config.score_threshold)
    for mosaic, row in zip(mosaics.photos[:4], evaluation.scores["learned", "none"], strict=False):
        expected = 1 / (1 + np.exp(-scale * (row - threshold)))
        found = {e["label"]: e["score"] for e in labeler(open_photo(mosaic.source), tiles="auto")}
        assert [found[name] for name in NAMES] == pytest.approx(expected.tolist(), abs=1e-5)
