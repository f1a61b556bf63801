"""What all cards have in common: a template that is filled, signed, and words that fit in."""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files
from typing import Any

from huggingface_hub import CardData, RepoCard

from wordsight.utils.wording import counted

from .edits import sign


def render_card(kind: type[RepoCard], data: CardData, template: str, **values: Any) -> str:
    """A card, signed (see `edits.py`).

    Args:
        kind: huggingface_hub's class of card.
        data: its metadata.
        template: name of a file beside this one, in Jinja's language.
        values: what the template names.
    """
    text = (files(__package__) / template).read_text(encoding="utf-8")
    template_str = "---\n{{ card_data }}\n---\n\n" + text
    return sign(str(kind.from_template(data, template_str=template_str, counted=counted, cell=cell, **values)))


def cell(text: str) -> str:
    r"""Others' words for a card, as words alone: no table ends at them, nothing in them is HTML, a link or a picture.

    Args:
        text: names, answers of a language model.

    Example:
        >>> cell("<b>cat</b> | [dog](x)")
        '&lt;b&gt;cat&lt;/b&gt; \\| \\[dog\\](x)'
    """
    return re.sub(r"[\\|\[\]`*]", r"\\\g<0>", escape(" ".join(text.split()), quote=False))
