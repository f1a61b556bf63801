"""The source files that go with a pushed model, so that it works where wordsight is not installed.

transformers runs code of a repository from single files that import one another by `from .file import name`. They are
made here from wordsight's own modules, so that there is one source of each formula: modules are put one behind the
other, imports of each other fall away, and functions that need more of wordsight (training, pushing) are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec, resolve_name
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from wordsight.modeling.configuration_wordsight import TASK
from wordsight.version import __version__

# File -> the modules that make it, in the order in which they need each other.
FILES = {
    "configuration_wordsight": (
        "wordsight.version",
        "wordsight.utils.errors",
        "wordsight.description_gen.categories",
        "wordsight.modeling.encoders.imagenet.configuration_imagenet",
        "wordsight.modeling.configuration_wordsight",
    ),
    "modeling_wordsight": (
        "wordsight.utils.cache",
        "wordsight.modeling.scoring",
        "wordsight.modeling.standardization",
        "wordsight.modeling.checks",
        "wordsight.modeling.encoders.base",
        "wordsight.modeling.encoders.clip",
        "wordsight.modeling.encoders.siglip",
        "wordsight.modeling.encoders.imagenet.efficientnet_lite",
        "wordsight.modeling.encoders.imagenet.modeling_imagenet",
        "wordsight.modeling.encoders.imagenet.packages",
        "wordsight.modeling.encoders.imagenet.encoders",
        "wordsight.modeling.encoders.loading",
        "wordsight.modeling.prompts",
        "wordsight.modeling.modeling_inference",
    ),
    "pipeline_wordsight": (
        "wordsight.pipelines.image_io",
        "wordsight.pipelines.heatmaps",
        "wordsight.pipelines.multi_label_image_classification",
    ),
}
FILE_OF = {module: file for file, modules in FILES.items() for module in modules}

_MODEL = "modeling_wordsight.WordsightInferenceModel"
# What a config says of these files, as transformers reads it.
CONFIG_ENTRIES: dict[str, Any] = {
    "auto_map": {
        "AutoConfig": "configuration_wordsight.WordsightConfig",
        "AutoModel": _MODEL,
        "AutoModelForImageClassification": _MODEL,
    },
    "custom_pipelines": {
        TASK: {
            "impl": "pipeline_wordsight.MultiLabelImageClassificationPipeline",
            "pt": ["AutoModelForImageClassification"],
            "type": "image",
        }
    },
}

HEADER = f'''"""Code of a model made with wordsight {__version__}, for use where wordsight is not installed. Apache-2.0.

transformers runs it with trust_remote_code=True. It is part of wordsight's own, put together when the model was pushed.
"""
'''


def write_remote_code(folder: Path) -> list[Path]:
    """Writes the files of `FILES` into a folder; gives their paths."""
    paths = []
    for file in FILES:
        path = folder / f"{file}.py"
        path.write_text(remote_source(file), encoding="utf-8")
        paths.append(path)
    return paths


def remote_source(file: str) -> str:
    """The source of one of `FILES`."""
    return joined_source(file, FILES[file], FILE_OF, HEADER)


def joined_source(file: str, names: Sequence[str], file_of: Mapping[str, str], header: str) -> str:
    """Modules put one behind the other, as the source of one file.

    Args:
        file: the file's name, without its ending.
        names: the modules, in the order in which they need each other.
        file_of: module -> the file beside this one, or this one, that holds it.
        header: the file's docstring.

    Raises:
        ValueError: a module imports, at its top, one of wordsight's that no file holds, or two modules of a file define
            the same name. Both are mistakes in wordsight, which its tests find.
    """
    modules = [_Module(name) for name in names]
    defined: dict[str, str] = {}
    for module in modules:
        for symbol in module.defined():
            if defined.setdefault(symbol, module.name) != module.name:
                raise ValueError(f"{defined[symbol]} and {module.name} both define {symbol}, in one file {file}.py.")
    body = "\n".join(module.body() for module in modules)
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    imported = {entry for module in modules for entry in module.imports(file, file_of) if entry.bound in used}
    # As the last module has it, whose name the file bears.
    future = ["from __future__ import annotations\n"] if modules[-1].postpones_annotations else []
    return "\n".join([header, *future, _import_statements(imported), body])


class _Imported(NamedTuple):
    """A name that is imported: `import name` where `module` is empty, else `from module import name`."""

    module: str
    name: str
    alias: str | None

    def sort_key(self) -> tuple[str, str, str]:
        """By module, then by name."""
        return self.module, self.name, self.alias or ""

    @property
    def bound(self) -> str:
        """The name by which code calls it."""
        return self.alias or self.name.split(".")[0]


def _import_statements(imported: set[_Imported]) -> str:
    lines = []
    for module, entries in groupby(sorted(imported, key=_Imported.sort_key), key=lambda entry: entry.module):
        names = [entry.name + (f" as {entry.alias}" if entry.alias else "") for entry in entries]
        lines += [f"from {module} import {', '.join(names)}"] if module else [f"import {name}" for name in names]
    return "\n".join(lines) + "\n"


class _Module:
    """One of wordsight's modules, and what of it goes along."""

    def __init__(self, name: str) -> None:
        self.name = name
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        self.lines, self.tree = source.splitlines(), ast.parse(source)

    def imports(self, file: str, file_of: Mapping[str, str]) -> Iterator[_Imported]:
        """What the file has to import for this module: of other packages, and of the other files."""
        for node in self.tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if target := self._internal(node):
                if target not in file_of:
                    raise ValueError(f"{self.name} imports {target}, which does not go along with it.")
                source = f".{file_of[target]}"
            if source not in {f".{file}", "__future__"}:
                yield from (_Imported(source, alias.name, alias.asname) for alias in node.names)

    @property
    def postpones_annotations(self) -> bool:
        return any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in self.tree.body)

    def defined(self) -> Iterator[str]:
        """The names that this module defines at its top."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not self._needs_more(node):
                yield node.name
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
                yield from (name.id for name in names if isinstance(name.ctx, ast.Store))

    def body(self) -> str:
        """The module without its docstring, its imports, and functions that need more of wordsight."""
        left_out = {number for node in self._left_out() for number in _line_numbers(node)}
        kept = [line for number, line in enumerate(self.lines, start=1) if number not in left_out]
        # What was left out leaves blank lines on both sides.
        blocks = [list(lines) for _, lines in groupby(kept, key=bool)]
        text = "\n".join(line for block in blocks for line in (block if block[0] else block[:2]))
        docstring = (ast.get_docstring(self.tree) or "").splitlines()[:1]
        return f"\n# {' '.join([self.name + ':', *docstring])}\n\n{text.strip()}\n"

    def _left_out(self) -> Iterator[ast.stmt]:
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                yield from filter(self._needs_more, node.body)
            elif (
                isinstance(node, ast.Import | ast.ImportFrom)
                or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))  # the docstring
                or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
                or self._needs_more(node)
            ):
                yield node

    def _needs_more(self, node: ast.stmt) -> bool:
        """Whether a function imports, when it runs, one of wordsight's modules."""
        inside = (part for part in ast.walk(node) if isinstance(part, ast.Import | ast.ImportFrom))
        return isinstance(node, ast.FunctionDef) and any(self._internal(part) for part in inside)

    def _internal(self, node: ast.Import | ast.ImportFrom) -> str | None:
        """The module of wordsight's that a statement imports from, if it does."""
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            return next((name for name in names if name.split(".")[0] == "wordsight"), None)
        target = node.module or ""
        if node.level:
            target = resolve_name("." * node.level + target, self.name.rpartition(".")[0])
        return target if target.split(".")[0] == "wordsight" else None


def _line_numbers(node: ast.stmt) -> range:
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return range(first, (node.end_lineno or first) + 1)
