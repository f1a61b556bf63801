"""`wordsight evaluate`: every method against numpy, the command as users run it, one process and two."""

import json

import numpy as np
import pytest
import torch
from datasets import load_from_disk
from PIL import Image
from sklearn.covariance import oas
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from tests.fixtures.photos import write_photos
from tests.fixtures.process import wordsight, wordsight_on
from tests.fixtures.texts import CATEGORIES
from wordsight import WordsightForMultiLabelImageClassification, load_text_encoder, train_prompts
from wordsight.cli import app
from wordsight.modeling import metrics
from wordsight.modeling.category_embeddings import reference_mean
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.modeling.evaluation.methods import MethodFactory, clip_templates
from wordsight.modeling.evaluation.options import CHANGED_METHODS, METHODS, parse_methods
from wordsight.modeling.evaluation.results import record_evaluation
from wordsight.modeling.evaluation.run import evaluate_methods
from wordsight.modeling.evaluation.several_models import make_methods
from wordsight.modeling.training.concepts import class_concepts
from wordsight.modeling.training.labeled_features import LabeledFeatures
from wordsight.modeling.training.settings import arguments_of
from wordsight.pipelines.calibrate import score_photos
from wordsight.pipelines.image_folders import find_photos
from wordsight.pipelines.image_loader import photo_batches
from wordsight.utils.errors import InvalidInputError

COUNT = 33  # odd, and no whole number of batches of 8


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, texts_dir, tiny_clip_dir):
    out = tmp_path_factory.mktemp("measured") / "model"
    args = arguments_of({"epochs": 2, "batch_size": 32, "prior_weight": 0.5, "mean_shift": True}, out)
    train_prompts(texts_dir, out, str(tiny_clip_dir), args=args)
    return out


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("labeled") / "photos", COUNT)


@pytest.fixture(scope="module")
def model(model_dir):
    return WordsightForMultiLabelImageClassification.from_pretrained(model_dir)


@pytest.fixture(scope="module")
def text_encoder(tiny_clip_dir):
    return load_text_encoder(str(tiny_clip_dir))


@pytest.fixture(scope="module")
def evaluation(model, model_dir, text_encoder, texts_dir, photos_dir, tmp_path_factory):
    factory = MethodFactory(
        model, text_encoder, folder=model_dir, texts=texts_dir, baselines=tmp_path_factory.mktemp("baselines")
    )
    methods = make_methods({"model": factory}, list(METHODS))
    benchmark = load_labeled_photos(photos_dir, "jsonl", model.config.categories)
    return evaluate_methods(model, methods, benchmark, photo_batches, batch_size=8), {
        method.name: method for method in methods
    }


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def embed(encoder, texts):
    """(N, D) in numpy, one text at a time."""
    rows = []
    for text in texts:
        encoded = encoder.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            rows.append(encoder(encoded["input_ids"], encoded["attention_mask"]).pooled[0].double().numpy())
    return np.stack(rows)


def test_zero_shot_embeddings_by_hand(evaluation, text_encoder):
    _, methods = evaluation
    names = [category.name for category in CATEGORIES]
    single = embed(text_encoder, [f"a photo of a {name}." for name in names])
    np.testing.assert_allclose(methods["zero-shot"].global_embeddings.numpy(), single, atol=1e-5)
    templates = clip_templates()
    assert len(templates) == 80 == len(set(templates))
    of_first = embed(text_encoder, [template.format(names[0]) for template in templates])
    np.testing.assert_allclose(methods["zero-shot-80"].global_embeddings[0].numpy(), unit(of_first.mean(0)), atol=1e-5)
    number = next(k for k, category in enumerate(CATEGORIES) if category.synonyms)
    all_names = np.stack(
        [
            unit(embed(text_encoder, [template.format(name) for template in templates]).mean(0))
            for name in CATEGORIES[number].all_names
        ]
    )
    with_synonyms = unit(all_names[0] + unit(all_names.mean(0)))
    for branch in ("global_embeddings", "local_embeddings"):
        found = getattr(methods["zero-shot-80-synonyms"], branch)[number]
        np.testing.assert_allclose(found.numpy(), with_synonyms, atol=1e-5)
    for name in ("zero-shot", "zero-shot-80"):
        assert methods[name].local_embeddings is None
        torch.testing.assert_close(methods[f"{name}-local"].local_embeddings, methods[name].global_embeddings)


def test_finished_embeddings_by_hand(evaluation, model, text_encoder):
    """unit(unit(prompt + 0.5 Z) - mean), Z half the name's and half all names' embedding, the mean shrunk."""
    _, methods = evaluation
    prompts = methods["prompts"].global_embeddings.double().numpy()
    names = [embed(text_encoder, [f"a photo of a {name}." for name in category.all_names]) for category in CATEGORIES]
    prior = unit(np.stack([rows[0] + unit(rows.mean(0)) for rows in names]))

    def shift(embeddings):
        mean = (embeddings.sum(0) + 20 * reference_mean(text_encoder).double().numpy()) / (len(CATEGORIES) + 20)
        return unit(embeddings - mean)

    np.testing.assert_allclose(
        methods["learned"].global_embeddings.numpy(), shift(unit(prompts + 0.5 * prior)), atol=1e-4
    )
    np.testing.assert_allclose(methods["names"].global_embeddings.numpy(), shift(prior), atol=1e-4)


def test_class_concepts_by_hand(evaluation, text_encoder, texts_dir):
    """Each category's mean sentence; the memory is the sentences themselves, as long as they are few."""
    concepts = evaluation[1]["concepts"]
    texts = load_from_disk(str(texts_dir))
    features = embed(text_encoder, texts["text"])
    means = np.array(texts["labels"]).T @ features
    np.testing.assert_allclose(concepts.global_embeddings.numpy(), unit(means), atol=1e-5)
    np.testing.assert_allclose(concepts.memory.numpy(), features, atol=1e-5)
    clusters = LabeledFeatures(concepts.memory, np.array(texts["labels"])).memory(rows=9).numpy()
    assert clusters.shape == (9, features.shape[1])
    np.testing.assert_allclose(np.linalg.norm(clusters, axis=1), 1, atol=1e-5)
    # Centers lie among the sentences: each sentence is nearer to one than to their common mean.
    assert (features @ clusters.T).max(axis=1).mean() > (features @ unit(features.mean(0))).mean()


def test_a_category_that_no_sentence_mentions_keeps_its_name():
    features = torch.eye(3)
    concepts = class_concepts(LabeledFeatures(features, np.array([[1, 0], [1, 0], [0, 0]])), missing=torch.ones(2, 3))
    np.testing.assert_allclose(concepts, [[0.5**0.5, 0.5**0.5, 0], [1, 1, 1]], atol=1e-6)


def pulled(features, method):
    """Features as the method has them: told in sentences, by unit(softmax(100 f T^t) T)."""
    if method.memory is None:
        return features
    memory = method.memory.double().numpy()
    weights = np.exp(100 * features @ memory.T)
    told = unit(weights / weights.sum(-1, keepdims=True) @ memory)
    return (1 - method.memory_weight) * features + method.memory_weight * told


def with_classifier(features, scores, thresholds):
    """0.7 of the scores and 0.3 of a linear discriminant of the best 20 found photos, at the same level and spread."""
    mean, mixed = features.mean(0), scores.copy()
    covariance, _ = oas(features - mean, assume_centered=True)
    for k in range(scores.shape[1]):
        confident = [row for row in np.argsort(-scores[:, k])[:20] if scores[row, k] >= thresholds[k]]
        if len(confident) >= 5:
            d = features @ np.linalg.solve(covariance, features[confident].mean(0) - mean)
            classified = (d - d.mean()) / d.std() * scores[:, k].std() + scores[:, k].mean()
            mixed[:, k] = 0.7 * scores[:, k] + 0.3 * classified
    assert not np.allclose(mixed, scores, atol=1e-2)
    return mixed


@pytest.mark.parametrize("name", METHODS)
def test_every_method_against_numpy(evaluation, model, photos_dir, name):
    """Photos one at a time, scores by the formulas of TaI-DPT (arXiv 2211.12739), AP by scikit-learn."""
    found, methods = evaluation
    method = methods[name]
    categories = method.global_embeddings.double().numpy()
    scores, labels, features = [], [], []
    for line in (photos_dir / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        photo = Image.open(photos_dir / row["file_name"])
        encoder = method.encoder or model.image_encoder
        image = encoder(encoder.image_processor(photo, return_tensors="pt").pixel_values)
        pooled, patches = (pulled(features[0].double().numpy(), method) for features in (image.pooled, image.patches))
        features.append(pooled)
        score = 4 * categories @ pooled
        if method.local_embeddings is not None:
            cosines = patches @ method.local_embeddings.double().numpy().T
            weights = np.exp(40 * cosines) if method.local_temperature is None else cosines == cosines.max(axis=0)
            score = 0.5 * score + 0.5 * 4 * (weights / weights.sum(0) * cosines).sum(0)
        scores.append(score)
        labels.append([category.name in row["labels"] for category in CATEGORIES])
    scores, labels = np.array(scores), np.array(labels)
    if name == "gda":
        scores = with_classifier(np.array(features), scores, np.array(model.config.score_threshold))
    np.testing.assert_allclose(found.scores[name, "none"], scores, atol=1e-4)
    result = next(r for r in found.results if (r.method, r.score_standardization) == (name, "none"))
    expected = [average_precision_score(labels[:, k], scores[:, k]) for k in range(len(CATEGORIES))]
    assert result.map == pytest.approx(np.mean(expected), abs=1e-6)
    assert list(result.ap.values()) == pytest.approx(expected, abs=1e-6)


def test_changed_methods_change_what_they_say(evaluation, model, text_encoder):
    """One thing each; the combined one all of them, and the model itself nothing."""
    _, methods = evaluation
    seen = {}
    for name in CHANGED_METHODS:
        encoder = methods[name].encoder or model.image_encoder
        processor = encoder.image_processor
        side = processor.crop_size["height"] if processor.do_center_crop else processor.size["height"]
        embeddings = "own" if torch.equal(methods[name].global_embeddings, methods["learned"].global_embeddings) else ""
        seen[name] = (encoder.patch_embeddings, bool(processor.do_center_crop), side, embeddings)
        assert encoder.model is model.image_encoder.model
    assert seen == {
        "correlative-prompts": ("value", False, 32, ""),
        "correlative-patches": ("correlative", False, 32, "own"),
        "center-crop": ("value", True, 32, "own"),
        "large-photos": ("value", False, 48, "own"),
        "combined": ("correlative", False, 48, ""),
    }
    together = model.config.cooccurring_categories
    texts = [f"A photo of a {name} often includes a {', a '.join(others)}." for name, others in together.items()]
    prior = methods["learned"].global_embeddings.double().numpy()
    mixed = methods["combined"].global_embeddings.double().numpy()
    correlative = embed(text_encoder, texts)
    assert ((mixed * correlative).sum(1) > (prior * correlative).sum(1)).all()


def test_methods_that_do_not_suit_a_model_are_left_out_of_all():
    """The ImageNet encoder has no attention, and always takes the whole photo; nobody said what is seen together."""
    model = WordsightForMultiLabelImageClassification.from_encoder("imagenet", ["cat", "dog"])
    factories = {"model": MethodFactory(model, model.text_encoder)}
    made = make_methods(factories, [*CHANGED_METHODS, "learned"], leave_out=True)
    assert [method.name for method in made] == ["large-photos", "learned"]
    assert made[0].encoder.image_processor.size["height"] == 448
    for name, reason in {"center-crop": "always takes the whole photo", "combined": "has no attention"}.items():
        with pytest.raises(InvalidInputError, match=f"no method '{name}' for this model.*{reason}"):
            make_methods(factories, [name])


def test_learned_baselines_have_their_papers_tokens(evaluation):
    found, _ = evaluation
    assert {result.score_standardization for result in found.results} == {"none", "images", "categories", "sparc"}
    assert len(found.results) == 4 * len(METHODS)
    thresholds = {r.method for r in found.results if r.thresholds is not None}
    assert thresholds == {"flat", "category", "learned"}


def test_learned_baseline_needs_sentences_and_is_kept(model, model_dir, text_encoder, texts_dir, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'flat' needs sentences.*--texts"):
        MethodFactory(model, text_encoder).make("flat")
    factory = MethodFactory(model, text_encoder, folder=model_dir, texts=texts_dir, baselines=tmp_path)
    first = factory.make("flat")
    (folder,) = tmp_path.iterdir()
    config = json.loads((folder / "config.json").read_text())
    assert [config[f"num_{level}_tokens"] for level in ("shared", "attribute", "cooccurrence", "category")] == [
        *(16, 0, 0, 0)
    ]
    assert config["prior_weight"] == 0
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    torch.testing.assert_close(factory.make("flat").global_embeddings, first.global_embeddings)
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp


def learned(model, model_dir, photos_dir, **options):
    """The model's scores of the photos, and what was found besides."""
    methods = [MethodFactory(model, None, folder=model_dir).make("learned")]
    benchmark = load_labeled_photos(photos_dir, "jsonl", model.config.categories)
    found = evaluate_methods(model, methods, benchmark, photo_batches, options=("none",), batch_size=8, **options)
    return found.scores["learned", "none"], found.results


def test_workers_change_nothing(model, model_dir, photos_dir):
    scores, results = learned(model, model_dir, photos_dir, num_workers=0)
    of_workers = learned(model, model_dir, photos_dir, num_workers=2)
    np.testing.assert_array_equal(of_workers[0], scores)
    assert of_workers[1] == results
    photos = find_photos([photos_dir])
    alone, ahead = (score_photos(model, photos, 8, progress=False, num_workers=count) for count in (0, 2))
    torch.testing.assert_close(ahead.logits, alone.logits, rtol=0, atol=0)
    np.testing.assert_array_equal(ahead.scaler.mean_, alone.scaler.mean_)


def test_memory_that_runs_out_halves_batches(model, model_dir, photos_dir, monkeypatch):
    expected, _ = learned(model, model_dir, photos_dir)
    encode = model.image_encoder.encode

    def small(pixel_values):
        if len(pixel_values) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return encode(pixel_values)

    monkeypatch.setattr(model.image_encoder, "encode", small)
    with pytest.warns(UserWarning, match="Out of memory with") as caught:
        scores, _ = learned(model, model_dir, photos_dir)
    assert len(caught) == 2  # 8 to 4, 4 to 2, and no more for the batches that follow
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_blocks_of_resamples_and_of_photos_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    scores, labels = rng.random((57, 4)).astype(np.float32).round(1), rng.choice([-1, 0, 1], size=(57, 4))
    found = []
    for cells in (1, 57 * 7, 10**9):  # the last takes all at once
        monkeypatch.setattr(metrics, "BLOCK_CELLS", cells)
        found.append((metrics.bootstrap_interval(scores, labels), metrics.top_k(scores, 2).tolist()))
    assert found[0] == found[1] == found[2]


def test_unknown_method_lists_all():
    assert parse_methods("learned, zero-shot") == ["zero-shot", "learned"]
    for given in ("learned,best", ""):
        with pytest.raises(InvalidInputError, match="There are zero-shot, zero-shot-80"):
            parse_methods(given)


def run(model_dir, photos_dir, out, *arguments, processes=1):
    command = ("evaluate", model_dir, "--data", photos_dir, "--json", out, "--batch-size", 8, *arguments)
    if processes == 1:
        return wordsight(*command)
    return wordsight_on([{"LOCAL_RANK": str(rank)} for rank in range(processes)], *command)


def test_command_on_one_process_and_on_two(model_dir, photos_dir, tmp_path):
    """33 photos in batches of 8: the processes have 17 and 16, and every figure is the same to the last bit."""
    reports = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.json"
        arguments = ("--methods", "learned,zero-shot-local", "--scores", "all", "--plots", tmp_path / "plots")
        result = run(model_dir, photos_dir, out, *arguments, processes=processes)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("33 photos, 4 of 4 categories") == 1  # the main process alone prints
        reports.append(json.loads(out.read_text()))
        assert result.stdout.splitlines()[-1] == reports[-1]["comparison"]["summary"]
    assert reports[0] == reports[1]
    assert [r["method"] for r in reports[0]["results"]] == ["zero-shot-local"] * 4 + ["learned"] * 4
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"ap.png", "photos-1.png"}
    assert all(Image.open(path).width > 300 for path in (tmp_path / "plots").iterdir())


def test_broken_photo_and_category_without_positive(model_dir, tmp_path):
    folder = write_photos(tmp_path / "photos", 6)
    (folder / "5.jpg").write_bytes(b"no photo")
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    for row in rows:
        row["labels"] = [label for label in row["labels"] if label != "cup"]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    out = tmp_path / "report.json"
    result = run(model_dir, folder, out, "--methods", "learned,zero-shot")
    assert result.returncode == 0, result.stderr
    assert "Warning: 1 of 6 photos can't be read: '5.jpg'. They are not counted." in result.stderr
    assert "Not counted in the mean, with fewer than 1 positives: cup." in result.stdout
    report = json.loads(out.read_text())
    assert report["photos"] == 5
    assert report["categories_left_out"] == ["cup"]
    assert "cup" not in report["results"][0]["ap"]
    strict = run(model_dir, folder, out, "--strict", "--methods", "learned")
    assert strict.returncode == 1
    assert strict.stderr.strip().splitlines()[-1].startswith("Error: 1 of 6 photos can't be read")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "pascal"], "The format 'pascal' is not known. Pass one of jsonl, voc2007"),
        (["--methods", "best"], "No method 'best'"),
        (["--scores", "best"], "No score standardization 'best'"),
        (["--methods", "all"], "'concepts' needs sentences"),
        (["--texts", "nowhere"], "--texts: there is no nowhere"),
        (["--min-positives", "500"], "No category has 500 positives"),
    ],
)
def test_bad_options(model_dir, photos_dir, arguments, message):
    result = CliRunner().invoke(app, ["evaluate", str(model_dir), "--data", str(photos_dir), *arguments])
    assert isinstance(result.exception, InvalidInputError)
    assert message in str(result.exception)


def test_arguments_are_checked_before_any_work(tmp_path):
    """Before the model is even looked for."""
    options = ["--data", str(tmp_path), "--methods", "all"]
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "no-model"), *options])
    assert "'concepts' needs sentences" in str(result.exception)


def test_datasets_in_two_folders_keep_a_record_each(model, model_dir, tmp_path):
    """Both label files are called labels.jsonl; the same photos again take the place of their earlier record."""
    methods = [MethodFactory(model, None, folder=model_dir).make("learned")]
    for name in ("beach", "street", "beach"):
        folder = tmp_path / name
        if not folder.exists():
            write_photos(folder, 4)
        dataset = load_labeled_photos(folder, "jsonl", model.config.categories)
        found = evaluate_methods(model, methods, dataset, photo_batches, options=("none",), resamples=2)
        record_evaluation(tmp_path, found)
    kept = json.loads((tmp_path / "evaluation.json").read_text())["evaluations"]
    assert [entry["benchmark"] for entry in kept] == ["street", "beach"]
