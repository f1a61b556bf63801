"""Photos with tiles: the pipeline against the formula, in batches, in arrays, in shards and in pushed code."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.fixtures.published import run_elsewhere
from tests.modeling.test_modeling import make_model
from tests.pipelines.test_heatmaps import in_halves, labeler_of, noise, seeing, seeing_model  # noqa: F401
from wordsight.cli import app
from wordsight.example_photos import load_photos
from wordsight.modeling.tiling import plan_tiles
from wordsight.pipelines.batch_inference import predict_shards
from wordsight.pipelines.heatmaps import draw_views
from wordsight.utils.errors import InvalidInputError

SHAPES = [(64, 64), (200, 50), (60, 40), (50, 150)]


@pytest.fixture(scope="module")
def tiny(tiny_clip_dir):
    return labeler_of(make_model(str(tiny_clip_dir), score_threshold=[0.1, 0.2, -0.1, 0.0]))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    for number, size in enumerate(SHAPES):
        noise(*size, number).save(folder / f"{number}.png")
    return sorted(folder.glob("*.png"))


def scores(labels):
    return {entry["label"]: entry["score"] for entry in labels}


def by_hand(labeler, path, tiles):
    """Each view on its own through the model; the whole and the best tile by weight; the thresholds' sigmoid."""
    config, photo = labeler.model.config, Image.open(path)
    similarities = []
    for box in plan_tiles(*photo.size, tiles):
        pixels = labeler.image_processor(images=photo.crop(box), return_tensors="pt").pixel_values
        with torch.no_grad():
            similarities.append(labeler.model(pixels).similarities[0].double().numpy())
    whole, *parts = similarities
    aspect = max(photo.size) / min(photo.size)
    weight = 0.5 if aspect <= 1.4 else 1 / (1 + aspect)
    combined = whole
    if parts:
        combined = weight * whole + (1 - weight) * np.max(parts, axis=0) - 0.28 * whole.std(ddof=1)
    logits = np.array(config.score_scale) * (combined - np.array(config.score_threshold))
    return dict(zip(config.category_names, 1 / (1 + np.exp(-logits)), strict=True))


@pytest.mark.parametrize("tiles", ["off", "auto", "fine"])
def test_scores_by_the_formula(tiny, photos, tiles):
    for path in photos:
        assert scores(tiny(path, tiles=tiles)) == pytest.approx(by_hand(tiny, path, tiles), abs=1e-5)


def test_off_gives_the_very_same_figures(tiny, photos):
    for path in photos:
        with torch.no_grad():
            pixels = tiny.image_processor(images=Image.open(path), return_tensors="pt").pixel_values
            logits = tiny.model(pixels).logits[0]
        assert tiny(path, tiles="off") == tiny(path)
        expected = 1 / (1 + np.exp(-logits.numpy()))
        assert scores(tiny(path)) == dict(zip(tiny.model.config.category_names, expected.tolist(), strict=True))


@pytest.mark.parametrize("batch_size", [2, 3, 4])
def test_batches_of_photos_with_different_numbers_of_tiles(tiny, photos, batch_size):
    singly = [scores(tiny(path, tiles="fine")) for path in photos]
    for given in (photos, (path for path in photos)):
        together = list(tiny(given, tiles="fine", batch_size=batch_size))
        for found, expected in zip(together, singly, strict=True):
            assert scores(found) == pytest.approx(expected, abs=1e-5)


def test_many_views_go_through_the_encoder_in_pieces(tiny, photos, monkeypatch):
    whole, seen = scores(tiny(photos[0], tiles="fine")), []
    monkeypatch.setattr("wordsight.modeling.modeling_inference.VIEWS_AT_ONCE", 4)
    hook = tiny.model.image_encoder.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    assert scores(tiny(photos[0], tiles="fine")) == pytest.approx(whole, abs=1e-5)
    hook.remove()
    assert seen == [4, 4, 2]


def test_arrays_and_tensors_are_cut_as_images_are(tiny, photos):
    image = Image.open(photos[1])
    expected = scores(tiny(image, tiles="auto"))
    array = np.asarray(image)
    assert scores(tiny(array, tiles="auto")) == pytest.approx(expected, abs=1e-5)
    assert scores(tiny(array.transpose(2, 0, 1), tiles="auto")) == pytest.approx(expected, abs=1e-5)


def test_the_model_s_own_setting_is_saved_and_a_call_can_change_it(tiny_clip_dir, photos, tmp_path):
    from wordsight.pipelines.loading import load_pipeline

    make_model(str(tiny_clip_dir), tiles="auto").save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["tiles"] == "auto"
    labeler = load_pipeline(str(tmp_path))
    assert scores(labeler(photos[1])) == scores(labeler(photos[1], tiles="auto"))
    assert scores(labeler(photos[1])) != scores(labeler(photos[1], tiles="off"))
    with pytest.raises(InvalidInputError, match="Unknown tiles 'many'"):
        labeler(photos[1], tiles="many")


def test_shards_have_the_pipeline_s_scores(tiny_clip_dir, photos, tmp_path):
    from wordsight.pipelines.loading import load_pipeline

    make_model(str(tiny_clip_dir)).save_pretrained(tmp_path / "model")
    labeler = load_pipeline(str(tmp_path / "model"))
    given = [str(tmp_path / "model"), photos[0].parent, tmp_path / "labels", 1]
    predict_shards(*given, threshold=0.0, batch_size=3, tiles="auto")
    rows = pq.read_table(tmp_path / "labels" / "part-00000-of-00001.parquet").to_pylist()
    for row, path in zip(rows, photos, strict=True):
        found = dict(zip(row["labels"], row["scores"], strict=True))
        assert found == pytest.approx(scores(labeler(path, tiles="auto")), abs=1e-5)
    with pytest.raises(InvalidInputError, match="tiles is 'auto' there, 'fine' here"):
        predict_shards(*given, threshold=0.0, tiles="fine")
    with pytest.raises(InvalidInputError, match="tiles is 'auto' there, None here"):
        predict_shards(*given, threshold=0.0)


def test_the_command_line(tiny_clip_dir, tiny, photos, tmp_path):
    make_model(str(tiny_clip_dir), score_threshold=[0.1, 0.2, -0.1, 0.0]).save_pretrained(tmp_path)
    command = ["predict", str(tmp_path), str(photos[1]), "--json", "--top-k", "4", "--tiles"]
    result = CliRunner().invoke(app, [*command, "fine"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)[str(photos[1])]
    assert scores(found) == pytest.approx(by_hand(tiny, photos[1], "fine"), abs=1e-5)
    assert "Unknown tiles" in str(CliRunner().invoke(app, [*command, "1"]).exception)


def strip(*names):
    photos = load_photos()
    joined = Image.new("RGB", (300 * len(names), 300))
    for number, name in enumerate(names):
        joined.paste(photos[name].resize((300, 300)), (300 * number, 0))
    return joined


def test_a_wide_photo_is_found_in_parts_and_heat_is_where_they_are(seeing):  # noqa: F811
    """Cat, coffee, flower and rocket side by side: the whole, squashed to a square, hardly shows one of them."""
    photo = strip("chelsea", "coffee", "flower", "rocket")
    entries = {entry["label"]: entry["heatmap"] for entry in seeing(photo, tiles="auto", output_heatmaps=True)}
    assert list(entries)[:3] != ["car"] and set(list(entries)[:3]) == {"cat", "cup", "flower"}
    for place, name in enumerate(("cat", "cup", "flower")):
        assert entries[name].mode == "L" and entries[name].size == photo.size
        quarters = [part.mean() for part in np.array_split(np.asarray(entries[name], dtype=float), 4, axis=1)]
        assert int(np.argmax(quarters)) == place, (name, quarters)


def test_heat_maps_of_views_are_put_together_as_scores_are():
    """Two halves of a photo of 8 x 4: 0 and 1 in the whole; 4, 0 in the first tile, 0, 8 in the second."""
    whole, first, second = ([[0.0, 1.0]], [[4.0, 0.0]], [[0.0, 8.0]])
    views = np.array([whole, first, second], dtype=np.float32)
    boxes = [(0, 0, 800, 400), (0, 0, 400, 400), (400, 0, 800, 400)]
    values = np.asarray(draw_views(views, (800, 400), (32, 32), boxes), dtype=float)
    # At the outer edges the nearest patch alone counts: (0 + 4) / 2 = 2 at the left, (1 + 8) / 2 = 4.5 at the right.
    assert values[:, -1] == pytest.approx(255)
    # Least is the first tile's right patch, at 300: there the whole is at 1/4 of its way from 0 to 1.
    least = (0.25 + 0.0) / 2
    assert values[:, 0] == pytest.approx(255 * (2 - least) / (4.5 - least), abs=1)
    assert values[:, 300] == pytest.approx(0, abs=1)


def test_what_no_view_shows_is_dark(tiny):
    """CLIP crops the whole and each tile to their middle squares: of a wide photo the very ends are not seen."""
    photo = noise(230, 100)
    for entry in tiny(photo, tiles="auto", output_heatmaps=True):
        values = np.asarray(entry["heatmap"])
        assert not values[:, :18].any() and not values[:, -18:].any()
        assert values[:, 19:-19].any(axis=0).mean() > 0.8


def test_heat_maps_in_batches(tiny, photos):
    singly = [tiny(path, tiles="auto", output_heatmaps=True) for path in photos]
    together = tiny(photos, tiles="auto", output_heatmaps=True, batch_size=3)
    for found, expected in zip(together, singly, strict=True):
        for entry, other in zip(found, expected, strict=True):
            assert entry["label"] == other["label"] and entry["heatmap"].size == other["heatmap"].size
            gap = np.abs(np.asarray(entry["heatmap"], int) - np.asarray(other["heatmap"], int))
            assert gap.max() <= 1


def test_without_wordsight(bare_python, published, photos, tmp_path):
    code = """
import json, sys
from transformers import pipeline
labeler = pipeline(model=sys.argv[1], trust_remote_code=True)
found = labeler(sys.argv[2], tiles="fine", output_heatmaps=True)
assert "wordsight" not in sys.modules
print(json.dumps([[e["label"], e["score"], e["heatmap"].size] for e in found]))
"""
    from wordsight.pipelines.loading import load_pipeline

    result = run_elsewhere(bare_python, code, tmp_path, published.repo_id, photos[1])
    here = load_pipeline(str(published.folder))(photos[1], tiles="fine")
    assert json.loads(result.stdout) == [[e["label"], e["score"], [200, 50]] for e in here], result.stderr
