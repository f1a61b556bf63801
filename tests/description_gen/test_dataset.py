"""Labeled texts from wherever a person has them: what their labels mean survives, and what can't be used is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, concatenate_datasets, load_dataset
from huggingface_hub import HfApi

from wordsight.description_gen import Category, Knowledge, SentenceLabeler, label_texts, load_texts
from wordsight.description_gen.dataset import (
    categories_of,
    dropped_of,
    knowledge_of,
    multi_hot,
    normalize_texts,
    train_validation_split,
    with_categories,
    with_dropped,
    with_knowledge,
)
from wordsight.hub import Destination, push_texts
from wordsight.utils.errors import InvalidInputError

WRITTEN_BY_0_2_0 = Path(__file__).parent.parent / "data" / "texts-0.2.0"
CATEGORIES = [Category("cat", ("kitten",)), Category("dog"), Category("cup", ("mug",))]
TEXTS = ["A cat and a dog.", "A mug.", "A kitten in a cup.", "A dog and a dog."]
LABELS = [[1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0]]
NAMES = [["cat", "dog"], ["mug"], ["Kitten", "cup"], ["dog"]]


def dataset_of(labels, feature=None):
    features = None if feature is None else Features({"text": Value("string"), "labels": feature})
    return Dataset.from_dict({"text": TEXTS, "labels": labels}, features=features)


class_label = ClassLabel(names=["dog", "cat", "cup"])


@pytest.mark.parametrize(
    "dataset",
    [
        dataset_of(LABELS),
        dataset_of(LABELS, List(Value("int8"), length=3)),
        dataset_of(np.array(LABELS, dtype=bool).tolist()),
        dataset_of(np.array(LABELS, dtype=float).tolist()),
        dataset_of(NAMES),
        dataset_of([[1, 0], [2], [1, 2], [0]], List(class_label)),
        dataset_of(["cat, dog", "mug", "kitten,cup", "dog"]),
        with_categories(dataset_of([row[::-1] for row in LABELS]), CATEGORIES[::-1]),
        dataset_of(LABELS).with_format("torch"),
        concatenate_datasets([dataset_of(LABELS), dataset_of(LABELS)]).select([4, 1, 6, 3]),
    ],
    ids=["ints", "int8", "bools", "floats", "names", "ClassLabels", "csv", "other order", "torch", "selected"],
)
def test_labels_of_every_kind_mean_the_same(dataset):
    labels = multi_hot(dataset, CATEGORIES)
    assert labels.dtype == np.int8 and labels.tolist() == LABELS
    normalized, categories = normalize_texts(dataset, CATEGORIES)
    assert categories == CATEGORIES == categories_of(normalized)
    assert normalized[:] == {"text": TEXTS, "labels": LABELS}
    assert normalized.features["labels"] == List(Value("int8"), length=3)


def test_one_label_a_row():
    single = dataset_of([1, 2, -1, 0], class_label)
    assert multi_hot(single, CATEGORIES).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert [category.name for category in normalize_texts(single)[1]] == ["dog", "cat", "cup"]


def test_names_alone_make_the_categories():
    normalized, categories = normalize_texts(dataset_of([["cat", "dog"], ["cup"], ["cat", "cup"], ["dog"]]))
    assert [category.name for category in categories] == ["cat", "cup", "dog"]
    assert normalized["labels"][0] == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "feature", "message"),
    [
        ([*LABELS[:2], [1, 0], LABELS[3]], None, r"column 'labels', row 2: \[1, 0\] does not have 3 values"),
        ([*LABELS[:3], [2, 0, 0]], None, r"column 'labels', row 3: \[2, 0, 0\] holds other values than 0 and 1"),
        ([LABELS[0], None, *LABELS[2:]], None, r"column 'labels', row 1: None does not have 3 values"),
        ([*NAMES[:3], ["zebra"]], None, r"row 3: 'zebra' is not one of the 3 categories \(cat, dog, cup\)"),
        ([*NAMES[:3], None], None, r"row 3 is empty. Allowed are multi-hot lists"),
        ([[0], [1], [2], [3]], List(ClassLabel(names=["cat", "dog", "cup", "cow"])), r"row 3: 'cow' is not one of"),
        ([0, 1, 2, 0], None, r"column 'labels' holds Value\('int64'\). Allowed are multi-hot"),
    ],
)
def test_labels_that_cannot_be_used_name_row_and_what_is_allowed(labels, feature, message):
    with pytest.raises(InvalidInputError, match=message):
        multi_hot(dataset_of(labels, feature), CATEGORIES)


def test_datasets_that_cannot_be_used():
    with pytest.raises(InvalidInputError, match=r"no column 'text', only caption\. Rename yours"):
        normalize_texts(Dataset.from_dict({"caption": TEXTS}), CATEGORIES)
    with pytest.raises(InvalidInputError, match=r"no column 'labels', only text\. Make one with `label_texts"):
        normalize_texts(Dataset.from_dict({"text": TEXTS}), CATEGORIES)
    with pytest.raises(InvalidInputError, match=r"doesn't say what its labels stand for. Pass `categories=`"):
        normalize_texts(dataset_of(LABELS))
    with pytest.raises(InvalidInputError, match="column 'text', row 1: None is not a text"):
        normalize_texts(Dataset.from_dict({"text": ["A cat.", None], "labels": LABELS[:2]}), CATEGORIES)
    with pytest.raises(InvalidInputError, match="no split 'train', only test"):
        normalize_texts(DatasetDict(test=dataset_of(LABELS)), CATEGORIES)
    with pytest.raises(InvalidInputError, match="can't be a dict"):
        normalize_texts({"text": TEXTS}, CATEGORIES)
    with pytest.raises(InvalidInputError, match=r"row 2: the dataset's own category 'cup' is not one of the 1"):
        multi_hot(with_categories(dataset_of([[0, 1], [0, 1], [1, 1], [0, 1]]), ["cup", "cat"]), [Category("cat")])
    assert normalize_texts(DatasetDict(test=dataset_of(LABELS)), CATEGORIES, split="test")[0]["labels"][:] == LABELS


def test_categories_stay_with_a_dataset():
    plain = dataset_of(LABELS)
    plain.info.description = "My captions."
    known = with_categories(plain, ["cat, kitten", "dog", "cup, mug"])
    assert categories_of(plain) is None and plain.info.description == "My captions."  # a copy
    assert known.info.description.startswith("My captions.\n")
    more = [known.select([0]), known.train_test_split(0.5)["test"], known.map(dict), known.filter(lambda row: True)]
    more += [known.shuffle(seed=0), concatenate_datasets([known, known.select([1])]), known.sort("text")]
    assert all(categories_of(dataset) == CATEGORIES for dataset in more)
    again = with_categories(known, ["a", "b", "c"])
    assert [category.name for category in categories_of(again)] == ["a", "b", "c"]
    assert categories_of(concatenate_datasets([known, again])) is None  # the columns mean different things


def test_knowledge_stays_with_a_dataset():
    knowledge = Knowledge(CATEGORIES, "m", 3, attributes={"cat": ["fur"]}, co_occurrence={"cat": {"dog": 0.5}})
    known = with_knowledge(dataset_of(LABELS), knowledge)
    joined = concatenate_datasets([with_categories(dataset_of(LABELS), CATEGORIES), known])
    for dataset in (known, joined, normalize_texts(joined)[0], train_validation_split(known)["validation"]):
        assert knowledge_of(dataset) == knowledge and categories_of(dataset) == CATEGORIES
    assert knowledge_of(with_categories(known, CATEGORIES)) is None
    assert knowledge_of(normalize_texts(known, CATEGORIES[::-1])[0]) is None  # it is of another order


def test_folders_and_files_are_read_back(tmp_path):
    known = with_categories(dataset_of(LABELS), CATEGORIES)
    known.save_to_disk(str(tmp_path / "one"))
    DatasetDict(train=known, validation=known.select([0])).save_to_disk(str(tmp_path / "two"))
    for folder in ("one", "two"):
        normalized, categories = normalize_texts(tmp_path / folder)
        assert normalized[:] == {"text": TEXTS, "labels": LABELS} and categories == CATEGORIES
    assert len(normalize_texts(str(tmp_path / "two"), split="validation")[0]) == 1
    named = dataset_of(NAMES)
    named.to_json(tmp_path / "texts.jsonl")
    rows = [{"text": text, "labels": names} for text, names in zip(TEXTS, NAMES, strict=True)]
    (tmp_path / "texts.json").write_text(json.dumps(rows))
    Dataset.from_dict({"text": TEXTS, "labels": [", ".join(row) for row in NAMES]}).to_csv(tmp_path / "texts.csv")
    known.to_parquet(tmp_path / "texts.parquet")  # parquet files don't keep what a dataset knows
    for suffix in ("jsonl", "json", "csv", "parquet"):
        normalized, _ = normalize_texts(tmp_path / f"texts.{suffix}", CATEGORIES)
        assert normalized[:] == {"text": TEXTS, "labels": LABELS}, suffix
    dataset_of([[1, 0], [2], [1, 2], [0]], List(class_label)).to_parquet(tmp_path / "typed" / "train.parquet")
    assert [category.name for category in normalize_texts(tmp_path / "typed")[1]] == ["dog", "cat", "cup"]


def test_sources_that_cannot_be_read(tmp_path, hub):
    (tmp_path / "texts.txt").write_text("A cat.")
    with pytest.raises(InvalidInputError, match=r"texts\.txt is not one of \.jsonl, \.json, \.csv, \.parquet"):
        normalize_texts(tmp_path / "texts.txt")
    (tmp_path / "texts.jsonl").write_text("{")
    with pytest.raises(InvalidInputError, match=r"texts\.jsonl can't be read as \.jsonl"):
        normalize_texts(tmp_path / "texts.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="empty can't be read as a dataset"):
        normalize_texts(tmp_path / "empty")
    with pytest.raises(InvalidInputError, match=r"nowhere/at/all is not there"):
        normalize_texts("nowhere/at/all")
    with pytest.raises(InvalidInputError, match=r"alice/nowhere is neither a file or folder here nor a dataset"):
        normalize_texts("alice/nowhere")


def test_texts_of_0_2_0_are_read():
    dataset, knowledge = load_texts(WRITTEN_BY_0_2_0)
    assert [category.name for category in knowledge.categories] == ["cat", "dog", "cup", "rocket"]
    assert categories_of(dataset) == knowledge.categories and knowledge_of(dataset) == knowledge
    normalized, categories = normalize_texts(WRITTEN_BY_0_2_0)
    assert categories == knowledge.categories and knowledge_of(normalized) == knowledge
    assert normalized["text"][:] == dataset["text"][:] and normalized["labels"][:] == dataset["labels"][:]


def test_sentences_on_the_hub_know_their_categories(hub, tmp_path, monkeypatch):
    token = hub.tokens["write"]
    monkeypatch.setenv("HF_TOKEN", token)
    texts, knowledge = load_texts(WRITTEN_BY_0_2_0)
    with_dropped(texts, {"refusal": 2}).save_to_disk(str(tmp_path / "texts"))
    shutil.copy(WRITTEN_BY_0_2_0 / "knowledge.json", tmp_path / "texts")
    push_texts(tmp_path / "texts", Destination("alice/known-texts", token=token))
    loaded = load_dataset("alice/known-texts", split="train")
    assert dropped_of(loaded) == {"refusal": 2}
    assert loaded.column_names == texts.column_names and loaded["text"][:] == texts["text"][:]
    assert categories_of(loaded) == knowledge.categories  # by the card
    # As 0.2.0 pushed them: no word of the categories in the card.
    texts.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    HfApi(token=token).create_repo("alice/old-texts", repo_type="dataset")
    shutil.copy(WRITTEN_BY_0_2_0 / "knowledge.json", tmp_path / "data")
    HfApi(token=token).upload_folder(repo_id="alice/old-texts", repo_type="dataset", folder_path=tmp_path / "data")
    for repo_id in ("alice/known-texts", "alice/old-texts"):
        normalized, categories = normalize_texts(repo_id)
        assert categories == knowledge.categories and knowledge_of(normalized) == knowledge
        assert normalized["labels"][:] == texts["labels"][:]


def test_own_captions_are_labeled():
    captions = Dataset.from_dict({"text": [*TEXTS, "Nothing here."], "source": list("abcde")})
    labeled = label_texts(captions, ["cat, kitten", "dog", "cup, mug"])
    assert labeled.column_names == ["text", "source", "labels"] and categories_of(labeled) == CATEGORIES
    assert labeled["labels"][:] == [*LABELS, [0, 0, 0]]
    assert label_texts(TEXTS, CATEGORIES)["labels"][:] == LABELS
    assert label_texts(labeled, CATEGORIES[:2])["labels"][0] == [1, 1]  # labels that were there are replaced
    both = label_texts(DatasetDict(train=captions, validation=captions.select([0])), CATEGORIES)
    assert both["train"]["labels"][:4] == LABELS and both["validation"]["labels"][:] == LABELS[:1]
    with pytest.raises(InvalidInputError, match=r"No text mentions any of the 1 categories. The first text is 'A cat"):
        label_texts(TEXTS, ["zebra"])
    with pytest.warns(UserWarning, match="No text mentions zebra"):
        label_texts(TEXTS, ["zebra", "cat"])
    with pytest.raises(InvalidInputError, match=r"must be a list, not the string 'cat'"):
        label_texts(TEXTS, "cat")


def test_split_is_reproducible():
    dataset = label_texts([f"Cat number {number}." for number in range(25)], ["cat"])
    first, second = train_validation_split(dataset, seed=4), train_validation_split(dataset, seed=4)
    assert {name: part["text"][:] for name, part in first.items()} == {n: part["text"][:] for n, part in second.items()}
    assert len(first["validation"]) == 2 and len(first["train"]) == 23
    assert not set(first["validation"]["text"]) & set(first["train"]["text"])
    assert len(train_validation_split(dataset.select([0, 1]))["validation"]) == 1


def test_labels_are_those_of_the_labeler():
    texts, knowledge = load_texts(WRITTEN_BY_0_2_0)
    assert label_texts(texts, knowledge.categories)["labels"][:] == texts["labels"][:]
    assert SentenceLabeler(knowledge.categories).label_batch(texts["text"]).tolist() == texts["labels"][:]


def test_the_module_is_light():
    code = (
        "import sys, wordsight.description_gen.dataset\n"
        "print([name for name in ('datasets', 'torch', 'openai', 'simplemma', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
