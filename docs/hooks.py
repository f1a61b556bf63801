"""What mkdocs does here beside its plugins: the installed package, examples as code, formulas that need no script."""

from __future__ import annotations

import html
import re
import shutil
import tomllib
from io import StringIO
from pathlib import Path
from typing import Any

import griffe
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from mkdocs.plugins import event_priority

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / ".docs_tree"
VERBS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C", Outline.CLOSEPOLY: "Z"}


@event_priority(100)  # before mkdocstrings looks for the package
def on_config(config: Any) -> Any:
    """Lays out the package for mkdocstrings, and draws ```math blocks, which GitHub typesets itself."""
    lay_out_package()
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": draw_formula})
    return config


def lay_out_package() -> None:
    """Links the folders to where they are when they are installed; griffe knows nothing of setuptools' package-dir."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    shutil.rmtree(TREE, ignore_errors=True)
    home = TREE / "wordsight"
    home.mkdir(parents=True)
    for path in (ROOT / packages.pop("wordsight")).iterdir():
        (home / path.name).symlink_to(path)
    for package, folder in packages.items():
        (home / package.removeprefix("wordsight.")).symlink_to(ROOT / folder)


class ExamplesAsCode(griffe.Extension):
    """Shows what follows "Example:" in a docstring as code; griffe knows "Examples:" alone, and takes it for text."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section of one docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


def draw_formula(source: str, *_: Any, **__: Any) -> str:
    """TeX as SVG in the color of the text around it, one formula a line.

    Args:
        source: what matplotlib's mathtext reads: https://matplotlib.org/stable/users/explain/text/mathtext.html
    """
    return "\n".join(_draw_line(line.strip()) for line in source.splitlines() if line.strip())


def _draw_line(tex: str) -> str:
    outline = TextPath((0, 0), f"${tex}$", size=16, prop=FontProperties(math_fontfamily="stix"))
    drawn = StringIO()
    for points, code in outline.iter_segments(curves=True, simplify=False):
        # SVG counts downwards.
        pairs = " ".join(f"{x:.2f} {-y:.2f}" for x, y in points.reshape(-1, 2))
        drawn.write(VERBS[code] + ("" if code == Outline.CLOSEPOLY else pairs))
    box = outline.get_extents().padded(1)
    return (
        f'<p class="formula"><svg role="img" aria-label="{html.escape(tex)}" width="{box.width:.0f}" '
        f'height="{box.height:.0f}" viewBox="{box.x0:.2f} {-box.y1:.2f} {box.width:.2f} {box.height:.2f}">'
        f'<path fill="currentColor" d="{drawn.getvalue()}"/></svg></p>'
    )
