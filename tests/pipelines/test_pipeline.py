"""`pipeline("multi-label-image-classification")` on all kinds of input, over real HTTP where it is a URL."""

import functools
import http.server
import subprocess
import sys
import threading

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from tests.modeling.test_modeling import NAMES, make_model
from wordsight.utils.errors import InvalidInputError


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("pipeline") / "model"
    make_model(
        str(tiny_clip_dir), score_scale=[2.0, 3.0, 4.0, 5.0], score_threshold=[0.1, 0.2, -0.1, 0.0]
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def labeler(model_dir):
    return pipeline("multi-label-image-classification", model=str(model_dir))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three photos on disk."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture(scope="module")
def expected(labeler, photos):
    return [labeler(str(path)) for path in photos]


def test_nothing_is_complained_of(model_dir, photos):
    code = (
        "import sys, wordsight; from transformers import pipeline;"
        "print(len(pipeline('multi-label-image-classification', model=sys.argv[1])(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(model_dir), str(photos[0])]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == "4" and "supported" not in result.stderr, result.stderr


def test_one_photo_gives_all_labels_sorted(expected):
    for labels in expected:
        assert sorted(entry["label"] for entry in labels) == sorted(NAMES)
        scores = [entry["score"] for entry in labels]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_scores_are_the_calibrated_logits(labeler, photos, expected):
    pixels = labeler.image_processor(Image.open(photos[0]), return_tensors="pt").pixel_values
    output = labeler.model(pixels)
    similarities, config = output.similarities[0].detach().numpy().astype(float), labeler.model.config
    scores = 1 / (1 + np.exp(-np.array(config.score_scale) * (similarities - np.array(config.score_threshold))))
    np.testing.assert_allclose(output.logits.sigmoid()[0].detach().numpy(), scores, rtol=1e-5)
    assert {entry["label"]: entry["score"] for entry in expected[0]} == pytest.approx(
        dict(zip(NAMES, scores, strict=True))
    )


def test_path_string_and_pil_and_array(labeler, photos, expected):
    assert labeler(photos[0]) == expected[0]
    assert labeler(Image.open(photos[0])) == expected[0]
    array = np.asarray(Image.open(photos[0]))
    assert [e["label"] for e in labeler(array)] == [e["label"] for e in expected[0]]


def test_url(labeler, photos, expected):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(photos[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert labeler(f"http://127.0.0.1:{server.server_port}/0.png", timeout=10) == expected[0]
        server.shutdown()


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_list(labeler, photos, expected, batch_size):
    results = labeler([str(path) for path in photos], batch_size=batch_size)
    assert [[e["label"] for e in labels] for labels in results] == [[e["label"] for e in labels] for labels in expected]
    for labels, right in zip(results, expected, strict=True):
        assert [e["score"] for e in labels] == pytest.approx([e["score"] for e in right], abs=1e-5)


def test_empty_list(labeler):
    assert labeler([]) == []


def test_generator_is_streamed(labeler, photos, expected):
    taken = []

    def generate():
        for path in photos:
            taken.append(path)
            yield str(path)

    results = labeler(generate())
    assert next(iter(results)) == expected[0]
    assert len(taken) < len(photos)


def test_datasets(labeler, photos, expected):
    dataset = datasets.Dataset.from_dict({"image": [str(path) for path in photos]}).cast_column(
        "image", datasets.Image()
    )
    assert list(labeler(dataset)) == expected
    assert list(labeler(dataset.to_iterable_dataset())) == expected
    assert list(labeler(KeyDataset(dataset, "image"))) == expected
    with pytest.raises(InvalidInputError, match="column 'image', got picture"):
        list(labeler(dataset.rename_column("image", "picture")))


def test_top_k_and_threshold(labeler, photos, expected):
    assert labeler(str(photos[0]), top_k=2) == expected[0][:2]
    middle = expected[0][1]["score"]
    assert labeler(str(photos[0]), threshold=middle) == expected[0][:2]
    assert labeler(str(photos[0]), threshold=1.0) == []
    with pytest.raises(InvalidInputError, match="threshold must be between 0 and 1, got 2"):
        labeler(str(photos[0]), threshold=2)
    with pytest.raises(InvalidInputError, match="top_k must be a whole number of 1 or more, got 0"):
        labeler(str(photos[0]), top_k=0)


def test_function_to_apply(labeler, photos):
    def scores(function):
        return {e["label"]: e["score"] for e in labeler(str(photos[0]), function_to_apply=function)}

    logits = scores("none")
    assert scores("sigmoid") == pytest.approx({k: 1 / (1 + np.exp(-v)) for k, v in logits.items()})
    assert sum(scores("softmax").values()) == pytest.approx(1)
    assert scores("default") == scores("sigmoid")


def test_a_call_can_set_back_what_the_pipeline_was_made_with(model_dir, photos, expected):
    bare = pipeline("multi-label-image-classification", model=str(model_dir), function_to_apply="none")
    assert bare(str(photos[0])) != expected[0]
    assert bare(str(photos[0]), function_to_apply="default") == expected[0]
    assert bare(str(photos[0]), function_to_apply="sigmoid") == expected[0]
    assert bare(str(photos[0])) != expected[0]


def test_the_stock_pipeline_gives_the_same_figures(model_dir, photos, expected):
    stock = pipeline("image-classification", model=str(model_dir))
    for photo, labels in zip(photos, expected, strict=True):
        assert stock(str(photo), top_k=None) == labels


def test_bad_images_are_named(labeler, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InvalidInputError, match=r"text\.png.*can't be read as an image.*Pass a path"):
        labeler(str(tmp_path / "text.png"))
    with pytest.raises(InvalidInputError, match=r"There is no photo .*gone\.jpg"):
        labeler(str(tmp_path / "gone.jpg"))
    with pytest.raises(InvalidInputError, match="can't be read as an image"):
        labeler(3.5)


def test_half_precision_and_loaded_model(model_dir, photos, expected):
    half = pipeline("multi-label-image-classification", model=str(model_dir), dtype=torch.bfloat16)
    assert {e["label"]: e["score"] for e in half(str(photos[0]))} == pytest.approx(
        {e["label"]: e["score"] for e in expected[0]}, abs=0.2
    )
