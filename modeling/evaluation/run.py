"""`wordsight evaluate`: a model and its peers on labeled photos, in one harness."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import progress_bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..modeling_wordsight import WordsightForMultiLabelImageClassification
    from .datasets import Benchmark
    from .methods import Method

TOP = 3
WORKERS_HELP = "Processes that read photos ahead of the encoder; by default what suits the machine."  # --num-workers
FILE_WIDTH = 110  # characters of the table, where no terminal sets them


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        method: see `METHODS`.
        score_standardization: "none", or one of SPARC's steps, with statistics of the photos that are measured (no
            labels); "checkpoint" for the option and statistics that the model itself holds.
        map: mean average precision, between 0 and 1.
        interval: 95% bootstrap interval of it.
        ap: category -> average precision; nothing for categories without a positive.
        top: CF1, OF1 and their parts at the 3 best labels a photo.
        thresholds: the same at the calibrated thresholds, where the method has them.
        recall_by_size: size -> share of its positives that are among the 3 best, where sizes are known.
    """

    method: str
    score_standardization: str
    map: float
    interval: tuple[float, float]
    ap: dict[str, float]
    top: dict[str, float]
    thresholds: dict[str, float] | None
    recall_by_size: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        benchmark: the photos that could be read, with their labels.
        categories: the K category names.
        results: one for each method and score standardization.
        scores: (method, score standardization) -> (N, K) scores.
        report: all that goes into the JSON file.
    """

    benchmark: Benchmark
    categories: list[str]
    results: list[Result]
    scores: dict[tuple[str, str], NDArray[np.float32]]
    report: dict[str, Any]


def evaluate_methods(
    model: WordsightForMultiLabelImageClassification,
    methods: list[Method],
    benchmark: Benchmark,
    *,
    options: tuple[str, ...] = ("none", "images", "categories", "sparc"),
    min_positives: int = 1,
    batch_size: int = 32,
    num_workers: int | None = None,
    strict: bool = False,
    resamples: int = 200,
) -> Evaluation:
    """Scores photos by all methods from one pass through the image encoder, on any number of processes.

    Of the photos, no more than their scores is kept in memory.

    Args:
        model: the model, with its image encoder.
        methods: what to measure.
        benchmark: labeled photos.
        options: score standardizations to measure each method with.
        min_positives: categories with fewer positives are left out of the mean.
        batch_size: photos at a time.
        num_workers: processes that read ahead; see `default_num_workers`.
        strict: whether a photo that can't be read is an error.
        resamples: of the bootstrap.

    Raises:
        InvalidInputError: no category has a positive, or `strict`.
    """
    import numpy as np
    import torch

    from ..score_statistics import fit_statistics
    from ..standardization import standardize_scores
    from .datasets import SIZES
    from .metrics import bootstrap_interval
    from .photo_scores import score_methods

    raw, compounds, read = score_methods(model, methods, benchmark, batch_size, num_workers)
    benchmark = _drop_unread(benchmark, read, strict)
    if not read.all():
        raw, compounds = {name: scores[read] for name, scores in raw.items()}, compounds[read]
    names, labels = model.config.category_names, benchmark.labels
    positives = (labels == 1).sum(axis=0)
    if not (positives >= max(min_positives, 1)).any():
        raise InvalidInputError(f"No category has {max(min_positives, 1)} positives: there is nothing to measure.")
    members = model.config.compound_members()
    usable = [
        option
        for option in options
        if option == "none" or (len(names) > 1 and len(labels) > 1 and (option != "sparc" or any(members)))
    ]
    results, scores = [], {}
    with progress_bar("Measuring", len(methods), "method") as bar:
        for method in methods:
            of_method = torch.from_numpy(raw[method.name])
            of_compounds = torch.from_numpy(compounds)
            statistics = fit_statistics(of_method, of_compounds, members) if len(usable) > 1 else None
            rows = {
                option: standardize_scores(option, of_method, of_compounds, members, statistics)  # type: ignore[arg-type]
                for option in usable
            }
            if method.name == "learned" and model.config.score_standardization != "none":
                rows["checkpoint"] = standardize_scores(
                    model.config.score_standardization, of_method, of_compounds, members, model.score_statistics
                )
            for option, changed in rows.items():
                final = changed.numpy()
                thresholds = None
                if method.thresholds is not None and option == "none":
                    thresholds = method.thresholds.numpy()
                elif option == "checkpoint":
                    thresholds = np.array(model.config.score_threshold)
                interval = bootstrap_interval(final, labels, min_positives, resamples)
                scores[method.name, option] = final
                results.append(
                    _result(method.name, option, final, benchmark, names, min_positives, thresholds, interval)
                )
            bar.update()
    left_out = [name for name, count in zip(names, positives, strict=True) if count < max(min_positives, 1)]
    report = {
        "benchmark": benchmark.name,
        "photos": len(labels),
        "notes": benchmark.notes,
        "min_positives": min_positives,
        "categories_left_out": left_out,
        "positives": {name: int(count) for name, count in zip(names, positives, strict=True)},
        "positives_by_size": {size: int((benchmark.sizes == index).sum()) for index, size in enumerate(SIZES, start=1)},
        "results": [asdict(result) for result in results],
    }
    return Evaluation(benchmark, names, results, scores, report)


def _drop_unread(benchmark: Benchmark, read: NDArray[np.bool_], strict: bool) -> Benchmark:
    """Leaves out photos that could not be read, and says so."""
    import warnings

    if read.all():
        return benchmark
    names = [photo.name for photo, fine in zip(benchmark.photos, read, strict=True) if not fine]
    note = f"{len(names)} of {len(read)} photos can't be read: {', '.join(map(repr, names[:5]))}."
    if strict:
        raise InvalidInputError(f"{note} Mend them, or leave out --strict to go on without them.")
    if not read.any():
        raise InvalidInputError(note)
    warnings.warn(f"{note} They are left out.", stacklevel=2)
    photos = [photo for photo, fine in zip(benchmark.photos, read, strict=True) if fine]
    labels, sizes = benchmark.labels[read], benchmark.sizes[read]
    return replace(benchmark, photos=photos, labels=labels, sizes=sizes, notes=[*benchmark.notes, note])


def _result(
    method: str,
    option: str,
    scores: NDArray[np.float32],
    benchmark: Benchmark,
    names: list[str],
    min_positives: int,
    thresholds: NDArray[np.floating] | None,
    interval: tuple[float, float],
) -> Result:
    import numpy as np

    from .datasets import SIZES
    from .metrics import average_precisions, f1_scores, mean_average_precision, top_k

    labels = benchmark.labels
    best = top_k(scores, TOP)
    ap = average_precisions(scores, labels)
    by_size = {
        size: float(best[benchmark.sizes == index].mean())
        for index, size in enumerate(SIZES, start=1)
        if (benchmark.sizes == index).any()
    }
    return Result(
        method=method,
        score_standardization=option,
        map=mean_average_precision(scores, labels, min_positives),
        interval=interval,
        ap={name: float(value) for name, value in zip(names, ap, strict=True) if not np.isnan(value)},
        top=asdict(f1_scores(best, labels)),
        thresholds=None if thresholds is None else asdict(f1_scores(scores >= thresholds, labels)),
        recall_by_size=by_size,
    )


def print_table(evaluation: Evaluation) -> None:
    """All results as one table."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    report = evaluation.report
    table = Table(Column("method", no_wrap=True), "scores", "mAP", "95%", "CF1@3", "OF1@3", "CF1", "OF1")
    for result in evaluation.results:
        low, high = result.interval
        at = result.thresholds
        table.add_row(
            result.method,
            result.score_standardization,
            f"{100 * result.map:.1f}",
            f"{100 * low:.1f}-{100 * high:.1f}",
            f"{100 * result.top['cf1']:.1f}",
            f"{100 * result.top['of1']:.1f}",
            f"{100 * at['cf1']:.1f}" if at else "",
            f"{100 * at['of1']:.1f}" if at else "",
        )
    counted = len(evaluation.categories) - len(report["categories_left_out"])
    title = f"{report['benchmark']}: {report['photos']} photos, {counted} of {len(evaluation.categories)} categories"
    table.title = title
    console.print(table)
    if left_out := report["categories_left_out"]:
        console.print(
            f"Left out of the mean, with fewer than {report['min_positives']} positives: {', '.join(left_out)}.",
            highlight=False,
        )
    if evaluation.results[0].recall_by_size:
        for result in evaluation.results:
            if result.score_standardization == "none":
                sizes = ", ".join(
                    f"{size} {100 * share:.1f} (of {report['positives_by_size'][size]})"
                    for size, share in result.recall_by_size.items()
                )
                console.print(f"{result.method}: recall at 3 by size of the largest object: {sizes}", highlight=False)
