"""`wordsight extend`: more categories for a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wordsight.utils.progress import load_libraries

from .options import check_exists, check_out_folder, check_texts


def extend(
    model: Annotated[Path, typer.Argument(help="Folder of the trained model.")],
    texts: Annotated[str, typer.Argument(help="Sentences about the new categories, as for `wordsight train`.")],
    out: Annotated[Path, typer.Option(help="Folder for the extended model.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the sentences; by default as for the model.")] = None,
    mixed_precision: Annotated[
        str | None,
        typer.Option(help="no, fp16 or bf16; by default as for the model.", envvar="ACCELERATE_MIXED_PRECISION"),
    ] = None,
) -> None:
    """Add categories to a trained model, without a change to those that it has.

    New categories join existing groups, and only their own tokens are learned.

    Example: wordsight describe --categories new.txt --out new-texts, then:
    wordsight extend my-model new-texts --out my-larger-model
    """
    check_exists(model / "config.json", "model")
    check_texts(texts)
    check_out_folder(out)
    load_libraries()
    from wordsight.modeling.training.extend import extend_model

    extended = extend_model(model, texts, out, epochs=epochs, mixed_precision=mixed_precision)
    groups = extended.config.attribute_groups, extended.config.cooccurrence_groups
    known = json.loads((model / "config.json").read_text(encoding="utf-8"))["id2label"].values()
    for name in extended.config.category_names[len(known) :]:
        alike, together = (next(g for g in kind or [] if name in g) for kind in groups)
        typer.echo(
            f"{name}: looks like {', '.join(n for n in alike if n != name) or 'no other'}; "
            f"seen with {', '.join(n for n in together if n != name) or 'no other'}"
        )
    typer.echo(f"{len(extended.config.category_names)} categories in {out}")
