"""`wordsight demo`: the main job from end to end, with nothing but what PyPI packages ship."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.description_gen import generate_texts, language_model, load_texts, read_categories
from wordsight.description_gen.generate import earlier_model
from wordsight.description_gen.llm.server import model_name
from wordsight.example_photos import load_photos
from wordsight.plotting import plot_labels
from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError

if TYPE_CHECKING:
    from wordsight.modeling.training.arguments import PromptTrainingArguments

# What stands on each photo, to say in the end how many are right.
PHOTOS = {
    "chelsea": "cat",
    "astronaut": "person",
    "coffee": "cup",
    "rocket": "rocket",
    "china": "building",
    "flower": "flower",
}


def run_demo(out: Path, sentences: int = 800, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Describes 20 everyday categories, learns prompts, and labels six photos.

    Writes `texts/`, `model/`, `labels.json` and `labels.png` under `out`; what is there already is reused.

    Args:
        out: the folder.
        sentences: usable sentences to write.
        seed: seed of everything.

    Returns:
        Photo name -> labels with scores, best first.

    Raises:
        MissingDependencyError: a package of the extra `[demo]` or of the weights is missing.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from wordsight.modeling.encoders.imagenet import cached_imagenet_encoder
    from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER, IMAGENET_VARIANTS
    from wordsight.modeling.training.settings import arguments_of
    from wordsight.pipelines.loading import load_pipeline

    console = Console()
    started = time.monotonic()

    def step(text: str) -> None:
        console.print(f"[bold]{text}[/bold] ({time.monotonic() - started:.0f} s)")

    photos = load_photos()
    step("1/4  The ImageNet encoder and the language model")
    cached_imagenet_encoder(IMAGENET_VARIANTS[DEFAULT_ENCODER])
    texts, model_folder = out / "texts", out / "model"
    llm = language_model(earlier_model(texts))
    step(f"2/4  Sentences by {model_name(str(llm))} on a local vLLM")
    categories = read_categories(Path(str(files("wordsight") / "data" / "demo_categories.txt")))
    generate_texts(categories, texts, llm=llm, sentences=sentences, seed=seed)
    dataset, _ = load_texts(texts)
    console.print(f"{len(dataset)} labeled sentences, such as:")
    for row in dataset.select(range(min(3, len(dataset)))):
        console.print(Text(f"  {row['text']}", "italic"), highlight=False)
    step("3/4  Prompts for the frozen encoder")
    # The model is reused when it was learned from these very sentences with these very settings.
    sentences_read = fingerprint("\n".join(dataset["text"]).encode())
    made_from = {"texts": sentences_read, "seed": seed, "encoder": DEFAULT_ENCODER}
    stamp = out / "made_from.json"
    if not (stamp.exists() and (model_folder / "config.json").exists() and json.loads(stamp.read_text()) == made_from):
        _train(texts, model_folder, arguments_of({"seed": seed}, model_folder))
        stamp.write_text(json.dumps(made_from, indent=1), encoding="utf-8")
    step("4/4  Labels for six photos")
    classifier = load_pipeline(str(model_folder))
    results = dict(zip(photos, classifier(list(photos.values()), batch_size=len(photos)), strict=True))
    (out / "labels.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    plot_labels(list(photos.values()), list(results.values()), list(photos)).savefig(out / "labels.png", dpi=100)

    table = Table("photo", "shows", "labels", title="What the model says, without having seen a photo before")
    for name, labels in results.items():
        mark = "[green]right[/green]" if labels[0]["label"] == PHOTOS[name] else "[red]wrong[/red]"
        best = ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in labels[:4])
        table.add_row(name, f"{PHOTOS[name]} ({mark})", best)
    console.print(table)
    right = sum(labels[0]["label"] == PHOTOS[name] for name, labels in results.items())
    step(f"Right label first on {right} of {len(PHOTOS)} photos; all in {out}/")
    return results


def _train(texts: Path, model_folder: Path, args: PromptTrainingArguments) -> None:
    """Learns prompts, from the last checkpoint where there is one of this very run."""
    from wordsight.modeling.training.train import train_prompts

    try:
        train_prompts(texts, model_folder, args=args, resume=True)
    except InvalidInputError:  # checkpoints of other sentences or settings
        train_prompts(texts, model_folder, args=args)
