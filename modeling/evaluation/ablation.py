"""`wordsight ablate`: variants of the method, learned and measured with several seeds, from one YAML file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError

from ..imagenet_variants import DEFAULT_ENCODER
from ..training.settings import SETTINGS, arguments_of, settings_of

if TYPE_CHECKING:
    from ..encoders import TextEncoder
    from ..photo_batches import PhotoReader
    from .methods import Method

BASELINES = ("zero-shot", "zero-shot-80", "zero-shot-local", "zero-shot-80-local")
GROUPINGS = ("llm", "random", "names")
OWN_KEYS = {"tokens", "groups", "sentences", "kinds"}
DATA_KEYS = {"texts", "path", "format", "split", "min_positives"}


def read_ablation(path: Path) -> dict[str, Any]:
    """Reads and checks an ablation file; see `ablations/levels.yaml` in the repository for an example.

    Raises:
        InvalidInputError: it can't be read, or says something that is not known; names it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{path} can't be read as YAML: {error}") from error
    if not isinstance(content, dict) or not content.get("data") or not content.get("variants"):
        raise InvalidInputError(f"{path}: needs 'data' and 'variants'.")
    known = OWN_KEYS | set(SETTINGS) - {"seed"}
    settings = {"base": content.get("base") or {}} | {name: value or {} for name, value in content["variants"].items()}
    for name, variant in settings.items():
        if unknown := sorted(set(variant) - known):
            raise InvalidInputError(f"{path}: {name!r} has {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
        if variant.get("groups", "llm") not in GROUPINGS:
            raise InvalidInputError(
                f"{path}: {name!r} has groups {variant['groups']!r}; known are {', '.join(GROUPINGS)}."
            )
    for name, data in content["data"].items():
        if not {"texts", "path"} <= set(data) <= DATA_KEYS:
            raise InvalidInputError(
                f"{path}: data {name!r} needs texts and path, and may have format, split, min_positives."
            )
    return {"encoder": DEFAULT_ENCODER, "seeds": [0, 1, 2]} | content


def learn_variant(
    texts: Path, out: Path, encoder: str, settings: dict[str, Any], seed: int, text_encoder: TextEncoder
) -> Path:
    """Learns one variant with one seed; gives the model's folder, which is reused if it is there.

    Args:
        texts: folder of sentences.
        out: folder for all models.
        encoder: Hub id, path, "imagenet-lite2" or "imagenet".
        settings: as in the YAML file.
        seed: seed of the run.
        text_encoder: the encoder's text half, which all variants share, as they share the sentences' features.
    """
    from ..training.arguments import TOKEN_FIELDS
    from ..training.train import train_prompts

    given = {key: value for key, value in settings.items() if key not in OWN_KEYS}
    tokens = dict(zip(TOKEN_FIELDS, settings["tokens"], strict=True)) if settings.get("tokens") else {}
    args = arguments_of(given | {"seed": seed}, out, **tokens)
    own = {key: settings.get(key) for key in sorted(OWN_KEYS)}
    made_from = json.dumps([str(texts.resolve()), encoder, settings_of(args.for_encoder(text_encoder)), own])
    folder = out / fingerprint(made_from.encode())
    if (folder / "config.json").is_file():
        return folder
    chosen = _choose_sentences(texts, folder.with_name(folder.name + "-texts"), settings)
    groups = _write_groups(chosen, folder.with_suffix(".groups.json"), text_encoder, settings, seed)
    train_prompts(chosen, folder, encoder, args=args, groups=groups, resume=True, text_encoder=text_encoder)
    if chosen != texts:
        shutil.rmtree(chosen)
    return folder


def _choose_sentences(texts: Path, out: Path, settings: dict[str, Any]) -> Path:
    """A folder with the sentences of some kinds, the first so many."""
    from wordsight.description_gen.dataset import load_texts

    kinds, count = settings.get("kinds"), settings.get("sentences")
    if kinds is None and count is None:
        return texts
    dataset, knowledge = load_texts(texts)
    rows = [row for row, kind in enumerate(dataset["kind"]) if kinds is None or kind in kinds]
    shutil.rmtree(out, ignore_errors=True)
    dataset.select(rows[:count]).save_to_disk(str(out))
    knowledge.save(out / "knowledge.json")
    return out


def _write_groups(
    texts: Path, out: Path, text_encoder: TextEncoder, settings: dict[str, Any], seed: int
) -> Path | None:
    """Groups other than the LLM's: as many and as large ones at random, or as many by k-means of the names."""
    import numpy as np
    from sklearn.cluster import KMeans

    from wordsight.description_gen.dataset import knowledge_of, multi_hot, normalize_texts

    from ..category_embeddings import zero_shot_embeddings
    from ..grouping import find_groups, write_groups

    if settings.get("groups", "llm") == "llm":
        return None
    dataset, categories = normalize_texts(texts)
    names = [category.name for category in categories]
    as_llm = find_groups(categories, text_encoder, knowledge_of(dataset), multi_hot(dataset, categories), seed=seed)
    found = [as_llm["attribute_groups"], as_llm["cooccurrence_groups"]]
    rng = np.random.default_rng(seed)
    changed = []
    for groups in found:
        if settings["groups"] == "random":
            shuffled = iter(rng.permutation(names).tolist())
            changed.append([[next(shuffled) for _ in group] for group in groups])
        else:
            embeddings = zero_shot_embeddings(categories, text_encoder).numpy()
            assigned = KMeans(len(groups), random_state=seed, n_init=10).fit_predict(embeddings)
            changed.append([[names[i] for i in np.flatnonzero(assigned == g)] for g in np.unique(assigned)])
    write_groups(changed[0], changed[1], out)
    return out


def measure(
    name: str, data: dict[str, Any], models: dict[tuple[str, int], Path], read_photos: PhotoReader
) -> dict[str, list[float]]:
    """MAP of the zero-shot baselines and of all variants on one set of photos, from one pass through the encoder.

    Args:
        name: of the data, for messages.
        data: as in the YAML file.
        models: (variant, seed) -> folder.
        read_photos: reads the photos (see `evaluate_methods`).

    Returns:
        Row name -> mAP for each seed; variants have one row for the global branch and one for both.
    """
    import torch.nn.functional as F

    from ..encoders import load_text_encoder
    from ..loading import load_model
    from .datasets import load_labeled_photos
    from .methods import Method, MethodFactory
    from .run import evaluate_methods

    loaded = {key: load_model(str(folder)) for key, folder in models.items()}
    first = next(iter(loaded.values()))
    factory = MethodFactory(first, load_text_encoder(first.config.encoder, revision=first.config.encoder_revision))
    methods: list[Method] = [factory.make(baseline) for baseline in BASELINES]
    for (variant, seed), model in loaded.items():
        if model.config.category_names != first.config.category_names:
            raise InvalidInputError(f"The sentences of {name!r} are not all about the same categories.")
        embeddings = [F.normalize(e.detach(), dim=-1) for e in (model.global_embeddings, model.local_embeddings)]
        methods.append(Method(f"{variant}, global\t{seed}", embeddings[0]))
        methods.append(Method(f"{variant}\t{seed}", embeddings[0], embeddings[1]))
    dataset = load_labeled_photos(
        Path(data["path"]), data.get("format", "jsonl"), first.config.categories, split=data.get("split")
    )
    evaluation = evaluate_methods(
        first,
        methods,
        dataset,
        read_photos,
        options=("none",),
        min_positives=data.get("min_positives", 1),
        resamples=1,
    )
    rows: dict[str, list[float]] = {}
    for result in evaluation.results:
        rows.setdefault(result.method.split("\t")[0], []).append(result.map)
    return rows


def markdown_table(measured: dict[str, dict[str, list[float]]]) -> str:
    """Rows by datasets: mean mAP in % with the standard deviation over seeds, and the mean over datasets.

    Args:
        measured: data name -> row name -> mAP for each seed.
    """
    import numpy as np

    names = list(measured)
    lines = [f"| method | {' | '.join(names)} | mean |", "|---|" + "---|" * (len(names) + 1)]
    for row in next(iter(measured.values())):
        of_row = [measured[name][row] for name in names]
        # The spread of the mean over datasets is that over seeds, dataset by dataset the same seed.
        cells = [*of_row, np.mean(of_row, axis=0).tolist()]
        shown = [
            f"{100 * np.mean(cell):.1f}" + (f" ± {100 * np.std(cell, ddof=1):.1f}" if len(cell) > 1 else "")
            for cell in cells
        ]
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"
