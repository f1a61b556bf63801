"""Large JPEGs are decoded at reduced scale, the same wherever photos are read, and small ones as they always were."""

import base64
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import pipeline
from transformers.models.clip import CLIPImageProcessorPil

from tests.modeling.test_modeling import make_model
from wordsight.example_photos import load_photos
from wordsight.modeling.encoders import load_image_encoder
from wordsight.pipelines.batch_inference import predict_shards
from wordsight.pipelines.image_io import LEAST_DRAFT, decode_photo, draft_size
from wordsight.pipelines.loading import load_pipeline
from wordsight.utils.errors import InvalidInputError

WIDTH, HEIGHT = 2400, 1800


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("reduced") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def labeler(model_dir):
    return load_pipeline(model_dir)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A photo as a camera of 4 megapixels writes it when it is held upright."""
    path = tmp_path_factory.mktemp("large") / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    load_photos()["chelsea"].convert("RGB").resize((WIDTH, HEIGHT)).save(path, quality=90, exif=exif)
    return path


def scores(found):
    return {entry["label"]: entry["score"] for entry in found}


def test_how_large_a_photo_has_to_be(labeler):
    imagenet = load_image_encoder("imagenet").image_processor
    assert [draft_size(imagenet, tiles) for tiles in ("off", "auto", "fine")] == [576, 960, 1344]
    assert draft_size(labeler.image_processor) == LEAST_DRAFT  # 32 pixels is what this one sees
    assert draft_size(object()) is None
    assert [labeler.least_size(), labeler.least_size(output_heatmaps=True)] == [LEAST_DRAFT, None]


@pytest.mark.parametrize("tiles", ["off", "auto"])
def test_a_large_photo_is_labeled_as_at_full_size(labeler, large, tiles):
    content = large.read_bytes()
    found = [
        scores(labeler(given, tiles=tiles))
        for given in (large, str(large), base64.b64encode(content).decode(), {"bytes": content, "path": None})
    ]
    assert found[1:] == found[:-1]
    full = scores(labeler(Image.open(large), tiles=tiles))
    assert found[0] == pytest.approx(full, abs=0.02)  # random weights, whose scores small differences decide
    assert found[0] != full


@pytest.mark.parametrize("side", [224, 288])
def test_an_encoder_sees_nearly_the_same_pixels(large, side):
    square = {"height": side, "width": side}
    processor = CLIPImageProcessorPil(size=square, do_center_crop=False, do_rescale=False, do_normalize=False)
    full, reduced = (
        processor(decode_photo(large, least), return_tensors="np")["pixel_values"].astype(int)
        for least in (None, draft_size(processor))
    )
    difference = np.abs(full - reduced)  # of 255
    assert 0 < difference.mean() < 0.5 and difference.max() < 8


def test_it_is_decoded_at_the_least_scale_that_suffices(labeler, large):
    with Image.open(large) as photo:
        photo.draft(None, (LEAST_DRAFT, LEAST_DRAFT))
        assert photo.size == (WIDTH // 4, HEIGHT // 4)
        expected = labeler.image_processor(photo.transpose(Image.Transpose.ROTATE_270), return_tensors="pt")
    assert torch.equal(labeler.preprocess(large)["pixel_values"], expected["pixel_values"])


def test_small_photos_are_as_ever(labeler, model_dir, tmp_path):
    path = tmp_path / "photo.jpg"
    load_photos()["chelsea"].convert("RGB").resize((1200, 2 * LEAST_DRAFT - 1)).save(path)
    stock = pipeline("image-classification", model=model_dir)
    assert labeler(path) == labeler(Image.open(path)) == stock(str(path), top_k=None)


def test_heat_maps_have_the_size_of_the_photo(labeler, large):
    (entry,) = labeler(large, top_k=1, output_heatmaps=True)
    assert entry["heatmap"].size == (HEIGHT, WIDTH)
    assert entry["score"] == labeler(Image.open(large), top_k=1)[0]["score"]


def test_shards_have_the_pipeline_s_scores(labeler, model_dir, large, tmp_path):
    predict_shards(model_dir, large.parent, tmp_path, 1, threshold=0.0)
    (row,) = pq.read_table(tmp_path / "part-00000-of-00001.parquet").to_pylist()
    assert dict(zip(row["labels"], row["scores"], strict=True)) == pytest.approx(scores(labeler(large)), abs=1e-6)


def test_the_server_too(labeler, large):
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from wordsight.serving import make_app

    with TestClient(make_app(labeler)) as client:
        assert scores(client.post("/", content=large.read_bytes()).json()) == pytest.approx(scores(labeler(large)))
        body = {"inputs": base64.b64encode(large.read_bytes()).decode()}
        body["parameters"] = {"output_heatmaps": True, "top_k": 1}
        (entry,) = client.post("/", json=body).json()
    assert Image.open(BytesIO(base64.b64decode(entry["heatmap"]))).size == (HEIGHT, WIDTH)


def test_half_precision_gives_nearly_the_same_labels(labeler, model_dir, large, tmp_path):
    half = load_pipeline(model_dir, dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    expected = scores(labeler(large))
    assert scores(half(large)) == pytest.approx(expected, abs=0.05)
    for dtype in ("auto", "bfloat16"):
        predict_shards(model_dir, large.parent, tmp_path / dtype, 1, threshold=0.0, dtype=dtype)
    (row,) = pq.read_table(tmp_path / "bfloat16/part-00000-of-00001.parquet").to_pylist()
    found = dict(zip(row["labels"], row["scores"], strict=True))
    assert found == pytest.approx(expected, abs=0.05)
    assert not np.allclose([*found.values()], [expected[name] for name in found], rtol=0, atol=1e-7)
    with pytest.raises(InvalidInputError, match="dtype is 'bfloat16' there, None here"):
        predict_shards(model_dir, large.parent, tmp_path / "bfloat16", 1, threshold=0.0)
    with pytest.raises(InvalidInputError, match=r"There is no dtype 'int3'\. Choose one of auto, float32"):
        load_pipeline(model_dir, dtype="int3")
    with pytest.raises(InvalidInputError, match=r"in the type that was exported\. Omit dtype bfloat16"):
        load_pipeline(model_dir, backend="onnx", dtype="bfloat16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="memory is pinned for a GPU alone")
def test_batches_are_pinned_for_a_gpu(labeler, large):
    from wordsight.pipelines.image_loader import photo_batches

    (batch,) = photo_batches([large, large], labeler.image_processor, 2, num_workers=1)
    assert batch.pixel_values.is_pinned() and batch.rows == [0, 1]
