"""Exported models: the pipeline's labels without PyTorch's kernels, for every family that ONNX can hold."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from tests.fixtures.encoder_families import CONTRASTIVE
from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight
from tests.modeling.test_modeling import NAMES, make_model
from wordsight import Category
from wordsight.cli import app
from wordsight.example_photos import load_photos
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.modeling.metrics import mean_average_precision
from wordsight.modeling.onnx.graph import TOLERANCE, ScoringGraph, export_graph
from wordsight.modeling.standardization import ScoreStatistics
from wordsight.pipelines.batch_inference import predict_shards
from wordsight.pipelines.export import export_onnx
from wordsight.pipelines.loading import load_pipeline
from wordsight.utils.errors import InvalidInputError

FIXED_SIZE = ("siglip",)
NOT_EXPORTED = ("naflex",)


@pytest.fixture(scope="module")
def photos():
    return list(load_photos().values())


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_clip_dir):
    """A model of a tiny CLIP, with both graphs."""
    folder = tmp_path_factory.mktemp("onnx") / "model"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    path, any_size = export_onnx(str(folder), quantize="int8")
    assert (path, any_size) == (folder / "onnx/model_int8.onnx", True)
    return str(folder)


def scores_of(classifier, photos, **options):
    """Scores (N, K) in the order of the categories."""
    found = [{e["label"]: e["score"] for e in labels} for labels in classifier(photos, **options)]
    return np.array([[scores[name] for name in classifier.model.config.category_names] for scores in found])


def compare(folder, photos, **options):
    """The greatest difference between the backends' scores of photos."""
    return np.abs(
        scores_of(load_pipeline(folder, backend="onnx"), photos, **options)
        - scores_of(load_pipeline(folder), photos, **options)
    ).max()


@pytest.mark.parametrize("family", [f for f in CONTRASTIVE if f not in NOT_EXPORTED])
def test_scores_of_real_photos_are_the_model_s(family, request, tmp_path, photos):
    make_model(str(request.getfixturevalue(f"tiny_{family}_dir"))).save_pretrained(tmp_path)
    _, any_size = export_onnx(str(tmp_path))
    assert any_size == (family not in FIXED_SIZE)
    assert compare(str(tmp_path), photos[:3]) < TOLERANCE


def test_an_encoder_that_can_t_be_exported_is_named(tmp_path, request):
    encoder = str(request.getfixturevalue(f"tiny_{NOT_EXPORTED[0]}_dir"))
    make_model(encoder).save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="can't be written as ONNX: ") as raised:
        export_onnx(str(tmp_path))
    assert encoder in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "onnx").iterdir())


def test_all_that_scores_are_made_of_is_in_the_graph(tiny_clip_dir, tmp_path, photos):
    """Compound prompts, score statistics, a memory of sentences and a classifier of photos."""
    model = make_model(str(tiny_clip_dir), compounds=[["cat", "dog"], ["dog", "car"]])
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    categories, width = len(NAMES), model.config.projection_dim
    model.compound_embeddings.copy_(random(2, width))
    model.set_memory(torch.nn.functional.normalize(random(5, width), dim=-1))
    model.set_photo_classifier((random(categories, width), random(categories), torch.ones(categories)))
    statistics = [random(categories), 1 + random(categories).abs(), random(2), 1 + random(2).abs()]
    model.set_score_statistics(ScoreStatistics(*statistics, random(categories, 3)), 10)
    model.config.memory_weight, model.config.score_standardization = 0.5, "sparc"
    model.save_pretrained(tmp_path)
    export_onnx(str(tmp_path))
    assert compare(str(tmp_path), photos) < TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "onnx/model.onnx")
    pixels = load_pipeline(str(tmp_path)).preprocess(photos[0])["pixel_values"]
    logits = session.run(["logits"], {"pixel_values": pixels.numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(pixels).logits, atol=TOLERANCE)


def test_tiles_and_heat_maps_are_the_model_s(exported, photos):
    assert compare(exported, photos, tiles="fine") < TOLERANCE
    options = {"output_heatmaps": True, "tiles": "auto", "top_k": 2}
    theirs, ours = (load_pipeline(exported, backend=b)(photos[0], **options) for b in ("torch", "onnx"))
    for one, other in zip(theirs, ours, strict=True):
        assert one["label"] == other["label"]
        difference = np.abs(np.asarray(one["heatmap"], dtype=int) - np.asarray(other["heatmap"], dtype=int))
        assert difference.max() <= 1


def test_photos_of_another_size(exported):
    pixels = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    ours, theirs = (load_pipeline(exported, backend=b).model(pixels).logits for b in ("onnx", "torch"))
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_8_bits_are_smaller_and_near(exported, photos):
    full, small = (load_pipeline(exported, backend=backend) for backend in ("onnx", "onnx-int8"))
    difference = np.abs(scores_of(full, photos) - scores_of(small, photos))
    assert 0 < difference.max() < 0.1
    sizes = {path.name: path.stat().st_size for path in (Path(exported) / "onnx").iterdir()}
    assert sizes["model_int8.onnx"] < 0.8 * sizes["model.onnx"]


def test_convolutions_in_32_and_8_bits(tmp_path, photos, imagenet_encoder_dir):
    folder = tmp_path / "model"
    make_model("imagenet").save_pretrained(folder)
    with pytest.raises(InvalidInputError, match="Pass --photos DIR"):
        export_onnx(str(folder), quantize="int8")
    for number, photo in enumerate(photos[:3]):
        photo.save(tmp_path / f"{number}.png")
    path, any_size = export_onnx(str(folder), quantize="int8", photos=[tmp_path])
    assert any_size
    assert compare(str(folder), photos[:3]) < TOLERANCE
    assert path.stat().st_size < 0.7 * path.with_name("model.onnx").stat().st_size
    full, small = (load_pipeline(str(folder), backend=backend) for backend in ("onnx", "onnx-int8"))
    pixels = torch.cat([full.preprocess(photo)["pixel_values"] for photo in photos])
    ours, theirs = (one.model(pixels).global_logits.flatten() for one in (full, small))
    assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] > 0.99
    nodes = onnx.load(path).graph.node
    made = {output: node.op_type for node in nodes for output in node.output}
    inputs = [made.get(node.input[0]) for node in nodes if node.op_type == "Conv"]
    assert inputs[0] != "DequantizeLinear"  # the first layers keep 32 bits, most do not
    assert inputs.count("DequantizeLinear") >= 0.7 * len(inputs)


def test_a_graph_of_another_state_is_refused(exported, tmp_path):
    model = load_pipeline(exported).model
    model.save_pretrained(tmp_path)
    graph = tmp_path / "onnx/model.onnx"
    graph.parent.mkdir()
    with pytest.raises(InvalidInputError, match=r"has no onnx/model.onnx: .* Run `wordsight export .* --to onnx`"):
        load_pipeline(str(tmp_path), backend="onnx")
    graph.write_bytes((Path(exported) / "onnx/model.onnx").read_bytes())
    load_pipeline(str(tmp_path), backend="onnx")
    config = json.loads((tmp_path / "config.json").read_text())
    config["score_threshold"][0] += 0.1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInputError, match="was exported before the model was changed"):
        load_pipeline(str(tmp_path), backend="onnx")
    graph.write_bytes(b"no graph")
    with pytest.raises(InvalidInputError, match=r"model.onnx is damaged .* Export again"):
        load_pipeline(str(tmp_path), backend="onnx")


def test_shards_are_labeled_alike(exported, photos, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"photos/{number}.png")
    found = []
    for backend in ("torch", "onnx"):
        predict_shards(exported, tmp_path / "photos", tmp_path / backend, 1, threshold=0.0, backend=backend)
        found.append(pq.read_table(tmp_path / backend / "part-00000-of-00001.parquet").to_pylist())
    for one, other in zip(*found, strict=True):
        assert dict(zip(one["labels"], one["scores"], strict=True)) == pytest.approx(
            dict(zip(other["labels"], other["scores"], strict=True)), abs=TOLERANCE
        )
    with pytest.raises(InvalidInputError, match="backend is 'onnx' there, None here"):
        predict_shards(exported, tmp_path / "photos", tmp_path / "onnx", 1, threshold=0.0)


def test_commands(exported, photos, tmp_path):
    photos[0].save(tmp_path / "photo.png")
    written = wordsight("export", exported, "--to", "onnx", "--out", tmp_path / "out")
    assert written.returncode == 0, written.stderr
    assert f"{tmp_path}/out/onnx/model.onnx (0." in written.stdout
    one, other = (
        wordsight("predict", tmp_path / "out", tmp_path / "photo.png", "--json", "--backend", backend)
        for backend in ("torch", "onnx")
    )
    assert one.returncode == other.returncode == 0, other.stderr
    (theirs,), (ours,) = (json.loads(result.stdout).values() for result in (one, other))
    assert [e["label"] for e in ours] == [e["label"] for e in theirs]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["export", "no-model", "--to", "tflite"], "--to tflite is not known. Pass one of onnx"),
        (["export", "no-model", "--quantize", "int4"], "--quantize int4 is not known"),
        (["export", "user/model"], "needs a folder of its own. Pass --out"),
        (
            ["predict", "no-model", "a.jpg", "--backend", "tpu"],
            "The backend 'tpu' is not known. Pass one of torch",
        ),
    ],
)
def test_wrong_options(command, message):
    assert message in str(CliRunner().invoke(app, command).exception)


def test_a_graph_with_other_figures_is_not_kept(tiny_clip_dir, tmp_path, monkeypatch):
    """What was written is compared with the model, which here gives other figures than when it was written."""
    forward = ScoringGraph.forward

    def other(self, pixels):
        logits, *rest = forward(self, pixels)
        return (logits if torch.onnx.is_in_onnx_export() else logits + 1, *rest)

    model = make_model(str(tiny_clip_dir))
    monkeypatch.setattr(ScoringGraph, "forward", other)
    with pytest.raises(InvalidInputError, match="its figures are off by 1"):
        export_graph(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_evaluate_shows_what_8_bits_cost(exported, tmp_path):
    data = write_photos(tmp_path / "photos", 12, categories=[Category(name) for name in NAMES])
    result = CliRunner().invoke(
        app,
        [
            *("evaluate", exported, "--data", str(data), "--methods", "learned", "--scores", "none"),
            *("--backend", "onnx-int8", "--json", str(tmp_path / "all.json")),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "learned, onnx-int8" in result.output
    own, small = json.loads((tmp_path / "all.json").read_text())["results"]
    dataset = load_labeled_photos(data, "jsonl", [Category(name) for name in NAMES])
    classifier = load_pipeline(exported, backend="onnx-int8")
    pixels = torch.cat([classifier.preprocess(photo.source)["pixel_values"] for photo in dataset.photos])
    expected = classifier.model(pixels).similarities.numpy()  # at once: ranges of activations are a batch's
    assert small["map"] == pytest.approx(mean_average_precision(expected, dataset.labels), abs=1e-6)
    assert (own["method"], small["method"]) == ("learned", "learned, onnx-int8")
    assert own["ap"] != small["ap"]


def test_a_backend_that_is_not_there_is_told_before_photos_are_scored(tmp_path, tiny_clip_dir):
    make_model(str(tiny_clip_dir)).save_pretrained(tmp_path / "model")
    data = write_photos(tmp_path / "photos", 2, categories=[Category(NAMES[0])])
    for backend, message in [
        ("onnx", "has no onnx/model.onnx: .* Run `wordsight export"),
        ("tpu", "Pass one of torch"),
    ]:
        given = ["evaluate", str(tmp_path / "model"), "--data", str(data), "--methods", "learned", "--backend", backend]
        with pytest.raises(InvalidInputError, match=message):
            CliRunner().invoke(app, given, catch_exceptions=False)
