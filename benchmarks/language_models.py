"""Language models side by side: their sentences, how fast they write, and what prompts learned from them achieve.

python -m benchmarks.language_models --photos coco=FOLDER:3 --photos flickr=FOLDER --llm qwen2.5-0.5b --out FOLDER

Each model describes the categories of each set of photos (its classes.txt), and prompts are learned from its sentences
with several seeds. Printed as Markdown: a table with the quality of the sentences, sentences a second and mAP, and 20
sentences of each model drawn with seed 0. What is in --out already is not made again. ":3" sets the least number of
positives of a category that counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.co_occurrence import mean_average_precision, seen_together, weights_of
from benchmarks.describing import rate
from wordsight import TextsSummary, generate_texts, load_texts, texts_summary
from wordsight.description_gen import LLMServer
from wordsight.description_gen.captions import UNLIKELY_SHARE
from wordsight.description_gen.llm.language_model import language_model
from wordsight.description_gen.self_check import DROP_SHARE
from wordsight.modeling.encoders import load_text_encoder
from wordsight.modeling.evaluation.ablation import learn_variant, markdown_table, measure
from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER
from wordsight.pipelines.image_loader import photo_batches

SHOWN = 20


@dataclass(frozen=True)
class Photos:
    """A set of labeled photos: labels.jsonl and classes.txt in a folder."""

    name: str
    folder: Path
    min_positives: int

    @classmethod
    def parse(cls, given: str) -> Photos:
        """Reads NAME=FOLDER[:LEAST]."""
        name, _, rest = given.partition("=")
        folder, _, least = rest.partition(":")
        return cls(name, Path(folder), int(least or 1))

    @property
    def categories(self) -> list[str]:
        """Lines with a category each."""
        return (self.folder / "classes.txt").read_text(encoding="utf-8").splitlines()


def describe(llm: str, photos: Photos, args: argparse.Namespace) -> Path:
    """A model's sentences about the categories of the photos; gives their folder."""
    texts: Path = args.out / f"{photos.name}-{llm}"
    if (texts / "dataset_info.json").exists():
        return texts
    generate_texts(
        photos.categories,
        texts,
        llm=llm,
        sentences=args.sentences,
        unlikely_share=args.unlikely_share,
        drop_share=args.drop_share,
    )
    return texts


def co_occurrence_table(photos: list[Photos], llms: list[str], out: Path) -> str:
    """How well each model's co-occurrence ranks what is seen together on the photos, in %, as Markdown."""
    lines = [f"| co-occurrence AP | {' | '.join(of.name for of in photos)} |", "|---|" + "---|" * len(photos)]
    for llm in llms:
        found = []
        for of in photos:
            knowledge = load_texts(out / f"{of.name}-{llm}")[1]
            names = [category.name for category in knowledge.categories]
            found.append(mean_average_precision(weights_of(knowledge), seen_together(names, of.folder)))
        lines.append(f"| {llm} | {' | '.join(f'{value:.1f}' for value in found)} |")
    return "\n".join(lines) + "\n"


def speed(llm: str, out: Path) -> float:
    """Sentences a second of a model, measured once."""
    path = out / "speed.json"
    known: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if llm not in known:
        with LLMServer(language_model(llm)) as server:
            known[llm] = asyncio.run(rate(server))
        path.write_text(json.dumps(known), encoding="utf-8")
    return known[llm]


def summary_row(llm: str, summary: TextsSummary, sentences_per_second: float) -> str:
    """A model's line of the table of sentences."""
    shares = [100 * (share or 0) for share in (summary.naming_all, summary.repeats)]
    dropped = ", ".join(f"{why} {100 * share:.1f}" for why, share in sorted((summary.dropped or {}).items()))
    return (
        f"| {llm} | {sentences_per_second:.1f} | {shares[0]:.0f} | {summary.distinct_2:.2f} | {shares[1]:.0f} | "
        f"{dropped} |"
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Photos.parse, action="append", required=True, help="NAME=FOLDER[:LEAST]")
    parser.add_argument("--llm", action="append", required=True, help="of the catalog, a folder or a Hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder for sentences and models")
    parser.add_argument("--sentences", type=int, default=2000, help="about each set (default: 2000)")
    parser.add_argument("--unlikely-share", type=float, default=UNLIKELY_SHARE, help="as in generate_texts")
    parser.add_argument("--drop-share", type=float, default=DROP_SHARE, help="as in generate_texts")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help=f"of the prompts (default: {DEFAULT_ENCODER})")
    parser.add_argument("--seeds", type=int, default=3, help="of training (default: 3)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    encoder = load_text_encoder(args.encoder)
    measured: dict[str, dict[str, list[float]]] = {}
    for photos in args.photos:
        models = {}
        for llm in args.llm:
            texts = describe(llm, photos, args)
            for seed in range(args.seeds):
                models[llm, seed] = learn_variant(texts, args.out / "models", args.encoder, {}, seed, encoder)
        data = {"path": str(photos.folder), "min_positives": photos.min_positives}
        measured[photos.name] = measure(photos.name, data, models, photo_batches)
        print(markdown_table({photos.name: measured[photos.name]}), file=sys.stderr, flush=True)
    print("| language model | sentences/s | name all, % | distinct-2 | near-duplicates, % | dropped, % |")
    print("|---|---|---|---|---|---|")
    first = args.photos[0]
    found = {llm: load_texts(args.out / f"{first.name}-{llm}")[0] for llm in args.llm}
    for llm, dataset in found.items():
        print(summary_row(llm, texts_summary(dataset), speed(llm, args.out)))
    print(f"\n{markdown_table(measured)}")
    print(co_occurrence_table(args.photos, args.llm, args.out))
    for llm, dataset in found.items():
        print(f"**{llm}**, {first.name}:\n")
        for text in random.Random(0).sample(list(dataset["text"]), SHOWN):
            print(f"- {text}")
        print()


if __name__ == "__main__":
    main()
