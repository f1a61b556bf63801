"""`wordsight ablate`: variants of the method, learned and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wordsight.utils.errors import writing
from wordsight.utils.progress import load_libraries

from .options import check_exists, check_out_folder


def ablate(
    file: Annotated[Path, typer.Argument(help="YAML file with data, base settings, variants and seeds.")],
    out: Annotated[Path, typer.Option(help="Folder for models and results.")],
) -> None:
    """Learn and measure variants of the method: levels, token counts, groups, noise, sentences; several seeds each.

    The file names datasets (texts, path, format), `base` settings (those of `wordsight train`, and tokens, groups:
    llm, random or names, sentences, kinds), `variants` that change some of them, and `seeds`. An interrupted run goes
    on where it stopped: run the same command again.

    Example: wordsight ablate ablations/levels.yaml --out ablation
    """
    check_exists(file, "file")
    check_out_folder(out)
    load_libraries()
    from wordsight.modeling.encoders import load_text_encoder
    from wordsight.modeling.evaluation.ablation import learn_variant, markdown_table, measure, read_ablation
    from wordsight.pipelines.image_loader import photo_batches

    content = read_ablation(file)
    text_encoder = load_text_encoder(content["encoder"])
    out.mkdir(parents=True, exist_ok=True)
    measured = {}
    for name, data in content["data"].items():
        models = {}
        for variant, changes in content["variants"].items():
            settings = (content.get("base") or {}) | (changes or {})
            for seed in content["seeds"]:
                typer.echo(f"{name}: {variant}, seed {seed}")
                models[variant, seed] = learn_variant(
                    Path(data["texts"]), out / "models", content["encoder"], settings, seed, text_encoder
                )
        measured[name] = measure(name, data, models, photo_batches)
    table = markdown_table(measured)
    with writing(out, "run the same command again"):
        (out / "results.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
        (out / "results.md").write_text(table, encoding="utf-8")
    typer.echo(table)
