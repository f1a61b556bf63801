"""The table of ratios and the plots, from what the benchmarks measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wordsight.plotting.figures import make_figure

Spread = dict[str, float]
WIDTH = 150  # characters of the table, where no terminal sets them


def _shown(spread: Spread, unit: str = "x") -> str:
    return f"{spread['min']:.2f} / {spread['median']:.2f} / {spread['max']:.2f} {unit}"


def rows(results: dict[str, Any]) -> list[tuple[str, str, str, bool, str]]:
    """What was measured, figure (min / median / max), target, whether it is met, and what limits it."""
    table: list[tuple[str, str, str, bool, str]] = []

    def add(what: str, figure: str, target: str, met: bool, limit: str) -> None:
        table.append((what, figure, target, met, limit))

    if found := results.get("training"):
        gemm = "matrix products of the prompts in the text encoder, there and back"
        for encoder, steps in found["steps"].items():
            for case, ratio in steps["ratios"].items():
                target = ">= 3" if encoder == "clip" else "-"
                add(
                    f"training step, {encoder}: {case} / ours",
                    _shown(ratio),
                    target,
                    ratio["median"] >= 3 or target == "-",
                    gemm,
                )
        peaks = found["peak_bytes"]
        share = peaks["ours"] / peaks["reference"]
        add("training memory, clip: ours / reference", f"{share:.2f} x", "<= 1", share <= 1, "the encoder's weights")
        most = found["growth"]["categories"]["1000"]["peak_bytes"] / 1e9
        add("training 1,000 categories, memory", f"{most:.1f} GB", "< 8", most < 8, "one chunk of prompts")
    if found := results.get("labeling_photos"):
        peer, bare = "zero-shot pipeline / ours", "ours / bare"
        one, many = found["batch 1"], found["batch 32"]
        forward = "the image encoder's forward pass"
        add(f"photos, batch 1: {peer}", _shown(one[peer]), ">= 5", one[peer]["median"] >= 5, forward)
        add(f"photos, batch 32: {peer}", _shown(many[peer]), "-", True, forward)
        for name, case in {"1": one, "32": many}.items():
            add(f"photos, batch {name}: {bare}", _shown(case[bare]), "<= 1.10", case[bare]["median"] <= 1.1, forward)
        first = found["loading"]["ours / zero-shot pipeline"]
        add("load + first photo: ours / peer", _shown(first), "<= 1", first["median"] <= 1, "imports of Python modules")
    _reading(results, add)
    _photo_settings(results, add)
    _serving(results, add)
    if found := results.get("describing"):
        ratio = found["ratio"]
        add("description generation: server / LLM.chat", _shown(ratio), ">= 0.9", ratio["median"] >= 0.9,
            "the language model's forward pass")  # fmt: skip
    if found := results.get("server_settings"):
        for way, ratio in found["ratios"].items():
            rate = found["sentences_a_second"][way]["median"]
            add(f"{found['model']}, {way} ({rate:.1f} sentences/s): ours / this", _shown(ratio), "> 1",
                ratio["median"] > 1, "tokens of questions that are computed again")  # fmt: skip
    if found := results.get("labeling_sentences"):
        seconds = found["sentences"]["seconds"]["20000"]
        add("labels of 20,000 sentences, 1,000 categories", _shown(seconds, "s"), "< 10 s", seconds["median"] < 10,
            "lemmas of words that were not seen before")  # fmt: skip
    if found := results.get("evaluating"):
        grown = found["none"]["rest_bytes_per_photo"]
        share = grown / (4 * 80)
        figure = f"{grown:.0f} B ({share:.1f} score rows)"
        add("evaluate: memory a photo beside the scores", figure, "about 0", share < 1,
            "sorting the scores of a category")  # fmt: skip
    return table


def _reading(results: dict[str, Any], add: Callable[[str, str, str, bool, str], None]) -> None:
    """Adds how fast photos are decoded, and the share of each stage of labeling them."""
    for size, found in results.get("reading", {}).items():
        decoding = found["decoding"]
        for name, rate in decoding["photos_a_second"].items():
            if "prepared" in name:
                ratio = decoding["Pillow, full and prepared / it"][name]
                add(f"{size}, {name} ({rate['median']:.1f} photos/s): Pillow, full / it", _shown(ratio), "-", True,
                    "the JPEG's entropy coding")  # fmt: skip
        for encoder, ways in found["shares"].items():
            for how, stages in ways.items():
                middle = {stage: spread["median"] for stage, spread in stages.items()}
                total = sum(middle.values())
                told = ", ".join(f"{stage} {100 * each / total:.0f}%" for stage, each in middle.items())
                longest = max(middle, key=lambda stage: middle[stage])
                add(f"{size}, {encoder}, {how}: share of {total:.0f} ms", told, "-", True, longest)
        for name, rate in found["read ahead"].items():
            add(f"{size}, CLIP B/32, {name}", _shown(rate, "photos/s"), "-", True, "cores")


def _serving(results: dict[str, Any], add: Callable[[str, str, str, bool, str], None]) -> None:
    """Adds rates and latencies of servers, and what memory many requests leave behind."""
    if not (found := results.get("serving")):
        return
    for name, by_connections in found["rates"].items():
        for connections, one in by_connections.items():
            figure = f"{_shown(one['requests_a_second'], '/s')}; p50 {one['p50_ms']['median']:.0f} ms, p99 "
            figure += f"{one['p99_ms']['median']:.0f} ms, CPU {one['cpu_ms_a_request']['median']:.0f} ms"
            add(f"serving, {connections} connections: {name}", figure, "-", True, "the image encoder's forward pass")
    kept = found["memory"]
    grown = kept["bytes_a_request"]
    add(f"serving, memory over {kept['requests']} requests", f"{grown:.0f} B a request", "about 0", grown < 1024,
        "the allocator")  # fmt: skip


def _photo_settings(results: dict[str, Any], add: Callable[[str, str, str, bool, str], None]) -> None:
    """Adds what settings of a model cost on photos."""
    if found := results.get("image_settings"):
        for case, ratio in found["ratios"].items():
            rate = found["photos_a_second"][case]["median"]
            add(f"CLIP B/16, {case} ({rate:.1f} photos/s): ours / bare at 224", _shown(ratio), "-", True,
                "the number of patches")  # fmt: skip
    for batch, figures in results.get("exported", {}).items():
        for name, seconds in figures.get("unfinished", {}).items() if batch.startswith("batch") else ():
            add(f"ImageNet encoder, {batch}, {name}", f"did not finish in {seconds:.0f} s", "-", True, "compiling")
        for name in figures["torch / it"].keys() - {"torch"} if batch.startswith("batch") else ():
            ratio, rate = figures["torch / it"][name], figures["photos_a_second"][name]["median"]
            add(f"ImageNet encoder, {batch}, {name} ({rate:.1f} photos/s): torch / it", _shown(ratio), "-", True,
                "the image encoder's forward pass")  # fmt: skip
    if found := results.get("memory"):
        ratio = found["with memory / plain"]
        add("photos, batch 32: with memory / without", _shown(ratio), "<= 1.10", ratio["median"] <= 1.1,
            "the image encoder's forward pass")  # fmt: skip


def print_table(results: dict[str, Any]) -> None:
    """All rows that there are figures for."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    table = Table("what", "min / median / max", "target", "met", "limited by", title=str(results.get("machine", "")))
    for what, figure, target, met, limit in rows(results):
        table.add_row(what, figure, target, "yes" if met else "NO", limit)
    console.print(table)


def draw(results: dict[str, Any], folder: Path) -> None:
    """How costs grow, as pictures on logarithmic axes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, points in _curves(results).items():
        figure = make_figure(4.6, 3.2)
        axes = figure.subplots()
        for label, (sizes, seconds) in points.items():
            axes.plot(sizes, seconds, "o-", label=label)
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(folder / f"performance-{name}.png", dpi=110)


def _curves(results: dict[str, Any]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Axis -> curve -> sizes and seconds."""

    def curve(found: dict[str, Any], seconds: Callable[[Any], float]) -> tuple[list[int], list[float]]:
        return [int(size) for size in found], [seconds(value) for value in found.values()]

    curves: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    if training := results.get("training"):
        growth = training["growth"]
        curves["categories"] = {"training step, CLIP": curve(growth["categories"], lambda f: f["seconds"]["median"])}
        curves["sentences"] = {
            "building features, ImageNet encoder": curve(growth["sentences"], lambda f: f["build_seconds"]),
            "opening them again": curve(growth["sentences"], lambda f: f["open_seconds"]),
            "a training step": curve(growth["sentences"], lambda f: f["step_seconds"]),
        }
    if sentences := results.get("labeling_sentences"):
        curves.setdefault("sentences", {})["labeling, 1,000 categories"] = curve(
            sentences["sentences"]["seconds"], lambda f: f["median"]
        )
    if photos := results.get("labeling_photos"):
        curves["photos"] = {"labeling, ImageNet encoder": curve(photos["growth"]["seconds"], float)}
    return curves
