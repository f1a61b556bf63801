"""The table of a reproduction, its own rows and published ones, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from statistics import mean, stdev
from typing import Any

import yaml

from wordsight.modeling.evaluation.options import METHODS, OWN_METHODS, STANDARDIZATIONS, own_names

from .settings import ReproductionSettings


def published(dataset: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Published rows that have a figure for a dataset ("method", "encoder", "map", "source", "where"), and notes."""
    content = yaml.safe_load((files(__package__) / "published.yaml").read_text(encoding="utf-8"))
    rows = [row | {"map": row["map"][dataset]} for row in content["rows"] if dataset in row["map"]]
    return rows, content["notes"]


def own_rows(report: dict[str, Any], labels: Sequence[str]) -> list[dict[str, Any]]:
    """A method a row: "method" and, score standardization by score standardization, its mAP in % for each seed.

    Args:
        report: of `evaluate_methods`, for the models of all seeds.
        labels: the models', as in the report.
    """
    measured: dict[str, dict[str, float]] = {}
    for result in report["results"]:
        measured.setdefault(result["method"], {})[result["score_standardization"]] = 100 * result["map"]
    rows = []
    for method, said in METHODS.items():
        names = own_names(method, labels) if method in OWN_METHODS else [method]
        of_seeds = [measured[name] for name in names if name in measured]
        if of_seeds:
            options = [option for option in STANDARDIZATIONS if all(option in found for found in of_seeds)]
            by_option = {option: [found[option] for found in of_seeds] for option in options}
            rows.append({"method": method, "is": said, "map": by_option})
    return rows


def as_json(settings: ReproductionSettings, report: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """All of the table, for programs."""
    rows, notes = published(settings.dataset)
    return {
        "settings": settings.fixed() | {"seeds": list(settings.seeds), "methods": list(settings.methods)},
        "benchmark": report["benchmark"],
        "photos": report["photos"],
        "notes": report["notes"],
        "rows": own_rows(report, labels),
        "comparison": report["comparison"],
        "published": rows,
        "published_notes": notes,
    }


def as_markdown(content: dict[str, Any]) -> str:
    """The table for people: mAP in %, the mean over seeds with the standard deviation where there are several.

    Args:
        content: see `as_json`.
    """
    settings, options = content["settings"], STANDARDIZATIONS
    encoder = settings["encoder"]
    lines = [
        f"# {content['benchmark']}: {content['photos']} photos",
        "",
        f"mAP in %, encoder {encoder}, seeds {', '.join(map(str, settings['seeds']))}. Columns are score "
        "standardizations: of each photo over categories (images), then of each category over these photos "
        "(categories), then with compound prompts (sparc); the last two see the test photos, but no label.",
        "",
        f"| method | encoder | {' | '.join(options)} | source |",
        f"|---|---|{'---|' * len(options)}---|",
    ]
    for row in content["rows"]:
        cells = [_cell(row["map"].get(option)) for option in options]
        lines.append(f"| {row['method']}: {row['is']} | {encoder} | {' | '.join(cells)} | this run |")
    for row in content["published"]:
        cells = [f"{row['map']:.1f}", *[""] * (len(options) - 1)]
        where = f"[{row['where']}]({row['source']})"
        lines.append(f"| {row['method']} | {row['encoder']} | {' | '.join(cells)} | {where} |")
    if comparison := content["comparison"]:
        lines += ["", comparison["summary"]]
    lines += ["", *(f"- {note}" for note in [*content["notes"], *content["published_notes"]])]
    return "\n".join(lines) + "\n"


def _cell(values: list[float] | None) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")
