"""The summary of labeled sentences, as a table and lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table

from wordsight.description_gen.summary import CategorySummary, TextsSummary, percent

from .console import plain_console

MOST_ROWS = 24  # of categories, unless all are asked for
SCENES, CO_OCCURRING = 2, 3  # in a row


def print_summary(summary: TextsSummary, texts: str, all_categories: bool = False) -> None:
    """Prints the table, one line a category, and figures of all sentences below.

    Args:
        summary: what to print.
        texts: how `wordsight show` is told which texts these are.
        all_categories: whether each of more than 24 categories has a line; else those with the fewest sentences have.
    """
    console = plain_console()
    shown = summary.categories
    noun = "sentence" if summary.sentences == 1 else "sentences"
    title = f"{summary.sentences} {noun}" + (f" by {summary.model}" if summary.model else "")
    if left_out := 0 if all_categories else max(len(shown) - MOST_ROWS, 0):
        shown = sorted(shown, key=lambda category: category.sentences)[:MOST_ROWS]
        title += f": the {MOST_ROWS} of {len(summary.categories)} categories with the fewest"
    console.print(_table(shown, title))
    if left_out:
        console.print(f"For the other {left_out}: wordsight show {texts} --all", soft_wrap=True)
    for line in _figures(summary):
        console.print(line, soft_wrap=True)


def _table(categories: Sequence[CategorySummary], title: str) -> Table:
    """A line a category; of captions without a language model's answers, what is known of them."""
    answers = any(category.co_occurrence for category in categories)
    columns = [
        Column("category", no_wrap=True, max_width=20),
        Column("sentences", no_wrap=True, justify="right"),
        Column("names\nall asked", no_wrap=True, justify="right"),
        Column("scenes", no_wrap=True, ratio=2),
        Column("seen with" if answers else "in sentences with", no_wrap=True, ratio=3),
    ]
    table = Table(*columns, title=title, expand=True)
    for category in categories:
        seen = category.co_occurrence if answers else category.in_sentences
        table.add_row(
            category.name,
            str(category.sentences),
            percent(category.naming_all),
            ", ".join(category.scenes[:SCENES]),
            ", ".join(
                f"{name} {weight:{'.2f' if answers else 'd'}}" for name, weight in [*seen.items()][:CO_OCCURRING]
            ),
        )
    return table


def _figures(summary: TextsSummary) -> list[str]:
    return [
        f"Name all that was asked: {percent(summary.naming_all)}",
        f"Distinct-2: {summary.distinct_2:.2f}   Near-duplicates: {percent(summary.repeats)}",
        f"Dropped: {summary.dropped_in_words}",
    ]
