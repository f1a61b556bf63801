"""Every pair of commands that write on a model's folder: the second leaves all alone that is not its own to change."""

import json
import os
import shutil
from itertools import product

import pytest
from safetensors.torch import load_file

from tests.fixtures.photos import write_photos
from tests.fixtures.published import ENCODER, push_encoder
from tests.fixtures.texts import CATEGORIES, write_texts
from wordsight import WordsightForMultiLabelImageClassification, extend_model, train_prompts
from wordsight.description_gen import Category
from wordsight.hub import Destination, push_checkpoint
from wordsight.hub.remote_code import FILES
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.modeling.evaluation.methods import MethodFactory
from wordsight.modeling.evaluation.results import keep_beside
from wordsight.modeling.evaluation.run import evaluate_methods
from wordsight.modeling.training.arguments import PromptTrainingArguments
from wordsight.modeling.training.classifier_model import train_classifier_model
from wordsight.pipelines.calibrate import calibrate_checkpoint
from wordsight.pipelines.image_loader import photo_batches
from wordsight.pipelines.loading import load_pipeline
from wordsight.utils.errors import InvalidInputError

EDIT = "The photos of our garden are not among them."
# Command -> what it may change of a folder.
OF_SCORES = {"calibration", "option", "classifier", "figures", "weights"}
MAY_CHANGE = {
    "train": {"training", "knowledge", "categories", "code", "provenance", *OF_SCORES},
    "comc": {"training", "knowledge", "categories", "code", "provenance", *OF_SCORES},
    "extend": {"training", "knowledge", "categories", *OF_SCORES},
    "calibrate": OF_SCORES,
    "calibrate --out": OF_SCORES,
    "calibrate gda": OF_SCORES,
    "evaluate": {"figures"},
    "edit": {"edit"},
    "pipeline.save_pretrained": {"code"},
    "model.save_pretrained": set(),
    "push": set(),
}
# Training makes a new model of a folder, whatever was in it but for a person's words.
PAIRS = [pair for pair in product(MAY_CHANGE, repeat=2) if pair[1] not in ("train", "comc") or pair[0] == "edit"]
# In `make test`, each command on folders that hold all that the others leave; in `make fuzz`, every pair.
SEVERAL = {
    "all but gda": ("edit", "evaluate", "pipeline.save_pretrained"),
    "all": ("edit", "calibrate gda", "evaluate", "pipeline.save_pretrained"),
}
MAKES_NEW = ("train", "comc", "extend")
if not os.environ.get("FUZZ_MINUTES"):
    PAIRS = [("all", second) for second in MAY_CHANGE if second not in MAKES_NEW] + [("all but gda", "extend")]
# New categories need prompts of sentences, and scores that depend on no photos.
REFUSED_AFTER = {"comc": {"extend"}, "extend": {"extend"}, "calibrate gda": {"extend"}}


class Commands:
    """The commands, each on a folder, and giving the folder that then has the model."""

    def __init__(self, root, encoder):
        self.encoder = encoder
        self.texts = write_texts(root / "texts")
        self.more = write_texts(root / "more", [Category("tree"), *CATEGORIES[:2]])
        self.photos = write_photos(root / "photos", 24)

    def run(self, command, folder):
        changed = folder.with_name(f"{folder.name}-changed")
        args = PromptTrainingArguments(str(folder), num_train_epochs=1)
        if command == "train":
            train_prompts(self.texts, folder, self.encoder, args=args)
        elif command == "comc":
            train_classifier_model(self.texts, folder, self.encoder, steps=2)
        elif command == "extend":
            extend_model(folder, self.more, changed, epochs=1)
            return changed
        elif command.startswith("calibrate"):
            out = changed if command.endswith("--out") else None
            if command.endswith("gda"):  # thresholds by which each category is found on these photos
                config = json.loads((folder / "config.json").read_text())
                config["score_threshold"] = [-1.0] * len(config["id2label"])
                (folder / "config.json").write_text(json.dumps(config))
            method = "gda" if command.endswith("gda") else "statistics"
            calibrate_checkpoint(str(folder), [self.photos], "none", out, method=method)
            return out or folder
        elif command == "evaluate":
            model = WordsightForMultiLabelImageClassification.from_pretrained(folder)
            dataset = load_labeled_photos(self.photos, "jsonl", model.config.categories)
            methods = [MethodFactory(model, None, folder=folder).make("learned")]
            keep_beside(
                folder, evaluate_methods(model, methods, dataset, photo_batches, options=("none",), resamples=2)
            )
        elif command == "edit":
            with (folder / "README.md").open("a") as card:
                card.write(f"\n{EDIT}\n")
        elif command == "pipeline.save_pretrained":
            load_pipeline(str(folder)).save_pretrained(folder)
        elif command == "model.save_pretrained":
            WordsightForMultiLabelImageClassification.from_pretrained(folder).save_pretrained(folder)
        elif command == "push":
            from tests.conftest import HUB

            push_checkpoint(folder, Destination("alice/pairs", token=HUB.tokens["write"]))
        return folder


def state(folder):
    """What a folder holds, by what it is about."""
    config, tensors = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert not [path.name for path in folder.iterdir() if path.is_dir()]
    classifier = {name: tensor for name, tensor in tensors.items() if "classifier" in name}
    return {
        "training": files.get("training_log.json"),
        "knowledge": files.get("knowledge.json"),
        "categories": config["id2label"],
        "provenance": config.get("provenance"),
        "calibration": config["calibration_photos"],
        "option": config["score_standardization"],
        "classifier": {name: tensor.tolist() for name, tensor in classifier.items()},
        "weights": {name: tensor.tolist() for name, tensor in tensors.items() if name not in classifier},
        "figures": files.get("evaluation.json"),
        "edit": EDIT in files["README.md"].decode(),
        "code": ("auto_map" in config, "custom_pipelines" in config, [f"{name}.py" in files for name in FILES]),
        "processor": files["preprocessor_config.json"],
        "encoder": (config["encoder"], config["encoder_revision"]),
    }


@pytest.fixture(scope="module")
def commands(tmp_path_factory, tiny_clip_dir):
    from tests.conftest import HUB

    push_encoder(HUB.tokens["write"], tiny_clip_dir)
    return Commands(tmp_path_factory.mktemp("pairs"), ENCODER)


@pytest.fixture(scope="module")
def after(tmp_path_factory, commands):
    """Command -> a folder on which it was run after `train`."""
    root, done = tmp_path_factory.mktemp("first"), {}

    def run(command):
        if command not in done:
            folder = root / command.replace(" ", "-")
            if command != "train":
                shutil.copytree(run("train"), folder)
            for each in SEVERAL.get(command, (command,)):
                folder = commands.run(each, folder)
            done[command] = folder
        return done[command]

    return run


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """They are drawn from what is looked at here, and take half of the time."""
    monkeypatch.setattr("wordsight.hub.folder.draw_pictures", lambda folder: None)


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.filterwarnings("ignore")
def test_a_command_changes_what_is_its_own_alone(first, second, after, commands, tmp_path):
    folder = shutil.copytree(after(first), tmp_path / "model")
    before = state(folder)
    try:
        folder = commands.run(second, folder)
        may_change = MAY_CHANGE[second]
    except InvalidInputError:  # not on such a model: it says so, and nothing changes
        assert second in REFUSED_AFTER.get(first, ())
        may_change = set()
    found = state(folder)
    assert {about for about in before if before[about] != found[about]} <= may_change
