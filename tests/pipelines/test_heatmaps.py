"""Heat maps: they lie where things are, whatever the processor does, and go through pipeline, remote code and files."""

import functools
import http.server
import json
import threading

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.clip import CLIPImageProcessorPil
from typer.testing import CliRunner

from tests.fixtures.published import run_elsewhere
from tests.modeling.test_modeling import make_model
from wordsight import WordsightConfig, WordsightForMultiLabelImageClassification, load_image_encoder, load_text_encoder
from wordsight.cli import app
from wordsight.example_photos import load_photos
from wordsight.modeling.category_embeddings import reference_mean, shift_mean, zero_shot_embeddings
from wordsight.modeling.configuration_wordsight import TASK
from wordsight.pipelines.heatmaps import draw_heatmap, seen_box
from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline
from wordsight.utils.errors import InvalidInputError

NAMES = ["cat", "flower", "car", "cup"]


def labeler_of(model):
    return MultiLabelImageClassificationPipeline(
        model=model, image_processor=model.image_encoder.image_processor, task=TASK
    )


@pytest.fixture(scope="module")
def seeing_model():
    """The ImageNet encoder with zero-shot embeddings of the names in both branches: no training, and it sees cats."""
    text_encoder = load_text_encoder("imagenet")
    config = WordsightConfig(
        id2label=dict(enumerate(NAMES)), encoder="imagenet", prompt_width=text_encoder.width, projection_dim=256
    )
    model = WordsightForMultiLabelImageClassification(config, load_image_encoder("imagenet")).eval()
    embeddings = shift_mean(zero_shot_embeddings(config.categories, text_encoder), reference_mean(text_encoder))
    with torch.no_grad():
        model.global_embeddings.copy_(embeddings)
        model.local_embeddings.copy_(embeddings)
    return model


@pytest.fixture(scope="module")
def seeing(seeing_model):
    return labeler_of(seeing_model)


@pytest.fixture(scope="module")
def tiny(tiny_clip_dir):
    return labeler_of(make_model(str(tiny_clip_dir)))


@pytest.fixture(scope="module")
def halves():
    photos = load_photos()
    return {name: photos[photo].resize((300, 200)) for name, photo in (("cat", "chelsea"), ("flower", "flower"))}


def joined(first, second, stacked):
    width, height = first.size
    size = (width, 2 * height) if stacked else (2 * width, height)
    photo = Image.new("RGB", size)
    photo.paste(first, (0, 0))
    photo.paste(second, (0, height) if stacked else (width, 0))
    return photo


def in_halves(heatmap, stacked):
    """Mean brightness of the first half and of the second."""
    values = np.asarray(heatmap, dtype=float)
    return [half.mean() for half in np.array_split(values, 2, axis=0 if stacked else 1)]


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("order", [("cat", "flower"), ("flower", "cat")])
def test_heat_is_where_the_thing_is(seeing, halves, order, stacked):
    photo = joined(*(halves[name] for name in order), stacked)
    labels = seeing(photo, output_heatmaps=True, top_k=2)
    assert {entry["label"] for entry in labels} == {"cat", "flower"}
    for entry in labels:
        assert entry["heatmap"].mode == "L" and entry["heatmap"].size == photo.size
        first, second = in_halves(entry["heatmap"], stacked)
        right, wrong = (first, second) if entry["label"] == order[0] else (second, first)
        assert right > wrong + 60, (entry, first, second)


def test_photo_from_a_turned_camera(seeing, halves, tmp_path):
    """The file holds a lying picture that is to be shown standing: the cat, at its left, is on top."""
    upright = joined(halves["cat"], halves["flower"], stacked=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "turned.jpg") as stored:
        assert stored.size == upright.size[::-1]
        by_image = seeing(stored, output_heatmaps=True, top_k=2)
    by_path = seeing(tmp_path / "turned.jpg", output_heatmaps=True, top_k=2)
    for labels in (by_path, by_image):
        maps = {entry["label"]: entry["heatmap"] for entry in labels}
        assert maps["cat"].size == maps["flower"].size == upright.size
        top, bottom = in_halves(maps["cat"], stacked=True)
        assert top > bottom + 60
        top, bottom = in_halves(maps["flower"], stacked=True)
        assert bottom > top + 60


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def assert_lies(labeler, photo, box):
    """Each map, at the centers of the patches that share a box of the photo, has the model's own logits."""
    pixels = labeler.image_processor(images=photo, return_tensors="pt").pixel_values
    with torch.no_grad():
        output = labeler.model(pixels, output_patch_logits=True)
    rows, columns = output.patch_grid
    left, top, width, height = box
    y = top + height * (np.arange(rows) + 0.5) / rows
    x = left + width * (np.arange(columns) + 0.5) / columns
    for entry in labeler(photo, output_heatmaps=True):
        index = labeler.model.config.category_names.index(entry["label"])
        logits = output.patch_logits[0, :, index].reshape(rows, columns).numpy()
        expected = 255 * (logits - logits.min()) / np.ptp(logits)
        values = np.asarray(entry["heatmap"], dtype=float)
        around = [values[np.ix_((y - shift).astype(int), (x - shift).astype(int))] for shift in (0, 0.5)]
        np.testing.assert_allclose(np.mean(around, axis=0), expected, atol=8)


def test_center_crop(tiny):
    """CLIP sees the middle 100 x 100 of a photo of 300 x 100."""
    photo = noise(300, 100)
    assert_lies(tiny, photo, (100, 0, 100, 100))
    for entry in tiny(photo, output_heatmaps=True):
        values = np.asarray(entry["heatmap"])
        assert not values[:, :100].any() and not values[:, 200:].any()
        assert values[:, 100:200].any(axis=0).mean() > 0.8 and values.max() > 240


def test_standing_photo_cropped(tiny):
    assert_lies(tiny, noise(80, 200), (0, 60, 80, 80))


def test_whole_photo_squashed(tiny_siglip_dir):
    """SigLIP sees all of a photo."""
    assert_lies(labeler_of(make_model(str(tiny_siglip_dir))), noise(200, 80), (0, 0, 200, 80))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}, (211, 97)),
        ({"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}, (75, 180)),
        ({"size": {"height": 50, "width": 60}, "crop_size": {"height": 32, "width": 20}}, (200, 100)),
        ({"do_resize": False, "crop_size": {"height": 32, "width": 64}}, (101, 75)),
        ({"size": {"shortest_edge": 20}, "crop_size": {"height": 32, "width": 32}}, (120, 100)),
        ({"size": {"height": 32, "width": 48}, "do_center_crop": False}, (160, 90)),
    ],
)
def test_seen_box_is_what_the_processor_takes(options, size):
    """Photos whose colors say where a pixel is; what comes out of the processor says what went in."""
    width, height = size
    across, down = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([255 * across / width, 255 * down / height, np.full_like(across, 255)], axis=-1)
    processor = CLIPImageProcessorPil(**options, do_normalize=False, do_rescale=False, resample=2)
    seen = processor(images=Image.fromarray(pixels.round().astype(np.uint8)), return_tensors="pt").pixel_values[0]
    rows, columns = seen.shape[-2:]
    left, top, right, bottom = seen_box(processor, size, (rows, columns))
    inside = seen[2] > 128  # what is padded is black
    # The middle half, so that neither padding nor the edges of the resampling count.
    x = left + (right - left) * (np.arange(columns) + 0.5) / columns
    y = top + (bottom - top) * (np.arange(rows) + 0.5) / rows
    middle = (slice(rows // 4, -rows // 4), slice(columns // 4, -columns // 4))
    assert bool(inside[middle].all())
    np.testing.assert_allclose(seen[0][middle] / 255 * width, np.broadcast_to(x, (rows, columns))[middle], atol=1.5)
    np.testing.assert_allclose(
        seen[1][middle] / 255 * height, np.broadcast_to(y[:, None], seen[1].shape)[middle], atol=1.5
    )
    assert bool(inside.all()) == (left >= 0 and top >= 0 and right <= width and bottom <= height)


def test_processor_that_is_not_known():
    processor = CLIPImageProcessorPil(size={"longest_edge": 64}, crop_size={"height": 32, "width": 32})
    with pytest.raises(InvalidInputError, match=r"Heat maps can't be placed.*longest_edge.*crops"):
        seen_box(processor, (100, 50), (32, 32))


def test_scale_of_a_map():
    logits = np.array([[0.0, 1.0], [2.0, 4.0]], dtype=np.float32)
    values = np.asarray(draw_heatmap(logits, (80, 40), (32, 32), (0, 0, 80, 40)))
    assert values[0, 0] == 0 and values[-1, -1] == 255
    assert values[19:21, 39:41].mean() == pytest.approx(255 * 1.75 / 4, abs=1), "between the four"
    flat = draw_heatmap(np.ones((2, 2), np.float32), (80, 40), (32, 32), (0, 0, 80, 40))
    assert not np.asarray(flat).any(), "a label that is nowhere more than elsewhere"
    # 33 pixels make 4 patches of 8, and one column and one row that nobody looks at.
    partial = np.asarray(draw_heatmap(np.eye(4, dtype=np.float32), (330, 330), (33, 33), (0, 0, 330, 330)))
    assert partial[:320, :320].any() and not partial[:, 320:].any() and not partial[320:].any()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        noise(60 + 10 * number, 50, number).save(path)
    return paths


def same(found, expected):
    assert len(found) == len(expected)
    for labels, right in zip(found, expected, strict=True):
        assert [entry["label"] for entry in labels] == [entry["label"] for entry in right]
        for entry, other in zip(labels, right, strict=True):
            assert set(entry) == {"label", "score", "heatmap"} and entry["heatmap"].size == other["heatmap"].size
            gap = np.abs(np.asarray(entry["heatmap"], int) - np.asarray(other["heatmap"], int))
            assert gap.max() <= 1  # batches round otherwise


def test_all_kinds_of_input(tiny, photos):
    expected = [tiny(path, output_heatmaps=True) for path in photos]
    assert [labels[0]["heatmap"].size for labels in expected] == [(60, 50), (70, 50), (80, 50)]
    assert not np.array_equal(expected[0][0]["heatmap"], expected[0][1]["heatmap"])
    same(tiny(photos, output_heatmaps=True, batch_size=2), expected)
    same(list(tiny((path for path in photos), output_heatmaps=True)), expected)
    same([tiny(np.asarray(Image.open(path)), output_heatmaps=True) for path in photos], expected)
    rows = datasets.Dataset.from_dict({"image": list(map(str, photos))}).cast_column("image", datasets.Image())
    same(list(tiny(rows, output_heatmaps=True, batch_size=3)), expected)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(photos[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        same([tiny(f"http://127.0.0.1:{server.server_port}/0.png", output_heatmaps=True)], expected[:1])
        server.shutdown()


def test_only_where_asked_for(tiny, photos):
    asked = []
    hook = tiny.model.register_forward_pre_hook(lambda _, args, kwargs: asked.append(set(kwargs)), with_kwargs=True)
    try:
        plain = tiny(photos[0])
        mapped = tiny(photos[0], output_heatmaps=True, top_k=2)
        assert tiny(photos[0], output_heatmaps=False) == plain
    finally:
        hook.remove()
    assert asked[0] == asked[2] == {"pixel_values"} and "output_patch_logits" in asked[1]
    assert all(set(entry) == {"label", "score"} for entry in plain)
    assert [(e["label"], e["score"]) for e in mapped] == [(e["label"], e["score"]) for e in plain[:2]]
    always = MultiLabelImageClassificationPipeline(
        model=tiny.model, image_processor=tiny.image_processor, task=TASK, output_heatmaps=True
    )
    assert "heatmap" in always(photos[0])[0] and "heatmap" not in always(photos[0], output_heatmaps=False)[0]


def test_without_wordsight(bare_python, published, photo_path, tmp_path):
    code = """
import sys
from transformers import pipeline
labeler = pipeline(model=sys.argv[1], trust_remote_code=True)
maps = [entry["heatmap"] for entry in labeler(sys.argv[2], output_heatmaps=True)]
assert "wordsight" not in sys.modules
print([(m.mode, m.size, m.getextrema()[0] < 50, m.getextrema()[1] > 200) for m in maps])
"""
    result = run_elsewhere(bare_python, code, tmp_path, published.repo_id, photo_path)
    assert result.stdout.strip() == str([("L", (50, 40), True, True)] * 4), result.stderr


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("heatmaps") / "model"
    names = ["cat/kitten", "wine glass", "自転車", "..."]
    make_model(
        str(tiny_clip_dir),
        id2label=dict(enumerate(names)),
        attribute_groups=[names],
        cooccurrence_groups=[names],
    ).save_pretrained(folder)
    return folder


def predict(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_files_of_predict(model_dir, photos, tmp_path):
    twin = tmp_path / "other" / "0.png"
    twin.parent.mkdir()
    noise(90, 40, 7).save(twin)
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    out = tmp_path / "new" / "where"
    result = predict(model_dir, photos[0], tmp_path / "broken.jpg", twin, "--json", "--heatmaps", out)
    assert result.exit_code == 1 and "Skipped" in result.stderr and "broken.jpg" in result.stderr
    labels = json.loads(result.stdout)
    files = [entry["heatmap"] for entries in labels.values() for entry in entries]
    assert len(set(files)) == 8 and {str(path) for path in out.glob("*.jpg")} == set(files)
    names = {path.name.split("-", 3)[3] for path in out.glob("001-0-*.jpg")}
    assert names == {"cat-kitten.jpg", "wine-glass.jpg", "自転車.jpg", "unnamed.jpg"}
    assert [Image.open(path).size for path in files] == [(60, 50)] * 4 + [(90, 40)] * 4
    assert f"Heatmaps in {out}, contact sheets: {out / 'contact-sheet.png'}" in result.stderr
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.width > 1000 and len(sheet.convert("RGB").getcolors(10**6)) > 1000


def test_many_photos_make_several_sheets(model_dir, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("wordsight.plotting.heatmap_files.PHOTOS_A_SHEET", 2)
    result = predict(model_dir, *photos, "--top-k", 1, "--heatmaps", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["contact-sheet-2.png", "contact-sheet.png"]
    assert len(list(tmp_path.glob("*.jpg"))) == 3


def test_long_names_and_bad_options(model_dir, photos, tmp_path):
    long = tmp_path / ("写真" * 35 + ".png")
    noise(50, 40).save(long)
    assert predict(model_dir, long, "--heatmaps", tmp_path / "out").exit_code == 0
    with_shards = predict(model_dir, tmp_path, "--shards", 2, "--out", tmp_path, "--heatmaps", tmp_path)
    assert isinstance(with_shards.exception, InvalidInputError) and "Omit --shards" in str(with_shards.exception)
    at_a_file = predict(model_dir, photos[0], "--heatmaps", photos[1])
    assert isinstance(at_a_file.exception, InvalidInputError) and "needs a folder" in str(at_a_file.exception)
