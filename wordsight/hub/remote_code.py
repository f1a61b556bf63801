"""The source files that go with a pushed model, so that it works where wordsight is not installed.

transformers runs code of a repository from single files that import one another by `from .file import name`, and asks
the Hub for each of them whenever a model is loaded. So few files are made from wordsight's own modules: they are put
one behind the other, and their imports of each other fall away. Nothing else does: a module that needs more of
wordsight than goes along, be it in one function, is refused.
"""

from __future__ import annotations

import ast
import json
import os
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
        "wordsight.description_gen.category_files",
        "wordsight.description_gen.categories",
        "wordsight.modeling.imagenet_variants",
        "wordsight.modeling.encoders.imagenet.configuration_imagenet",
        "wordsight.modeling.configuration_wordsight",
    ),
    "modeling_wordsight": (
        "wordsight.utils.cache",
        "wordsight.modeling.scoring",
        "wordsight.modeling.sentence_memory",
        "wordsight.modeling.tiling",
        "wordsight.modeling.standardization",
        "wordsight.modeling.checks",
        "wordsight.modeling.encoders.photo_size",
        "wordsight.modeling.encoders.base",
        "wordsight.modeling.encoders.vision_blocks",
        "wordsight.modeling.encoders.halves",
        "wordsight.modeling.encoders.clip",
        "wordsight.modeling.encoders.clip_families",
        "wordsight.modeling.encoders.align",
        "wordsight.modeling.encoders.open_clip",
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
        "wordsight.utils.plugins",
        "wordsight.pipelines.photo_formats",
        "wordsight.pipelines.image_io",
        "wordsight.pipelines.heatmaps",
        "wordsight.pipelines.tiles",
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
PACKAGE = "wordsight"


def write_remote_code(folder: Path) -> list[Path]:
    """Writes the files of `FILES` into a folder.

    Args:
        folder: the folder.

    Returns:
        Their paths.
    """
    paths = []
    for file in FILES:
        path = folder / f"{file}.py"
        path.write_text(remote_source(file), encoding="utf-8")
        paths.append(path)
    return paths


def add_remote_code(folder: str | os.PathLike[str]) -> list[Path]:
    """Completes a model's folder, so that it works with `trust_remote_code=True` where wordsight is not installed.

    Args:
        folder: what `save_pretrained` wrote.

    Returns:
        The paths of the code.
    """
    path = Path(folder) / "config.json"
    entries = json.loads(path.read_text(encoding="utf-8")) | CONFIG_ENTRIES
    path.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return write_remote_code(Path(folder))


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
        ValueError: a module imports one of wordsight's that no file holds, or imports one inside a function, or two
            modules of a file define the same name. All are mistakes in wordsight, which its tests find.
    """
    modules = [_Module.read(name) for name in names]
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
    alias: str

    @property
    def bound(self) -> str:
        """The name by which code calls it."""
        return self.alias or self.name.split(".")[0]


def _import_statements(imported: set[_Imported]) -> str:
    lines = []
    for module, entries in groupby(sorted(imported), key=lambda entry: entry.module):
        names = [entry.name + (f" as {entry.alias}" if entry.alias else "") for entry in entries]
        lines += [f"from {module} import {', '.join(names)}"] if module else [f"import {name}" for name in names]
    return "\n".join(lines) + "\n"


class _Module(NamedTuple):
    """One of wordsight's modules."""

    name: str
    lines: list[str]
    tree: ast.Module

    @classmethod
    def read(cls, name: str) -> _Module:
        """A module that can be imported, from its file."""
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        return cls(name, source.splitlines(), ast.parse(source))

    def imports(self, file: str, file_of: Mapping[str, str]) -> Iterator[_Imported]:
        """What the file has to import for this module: of other packages, and of the other files."""
        self._refuse_hidden_imports()
        for node in self.tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if target := self._internal(node):
                if target not in file_of:
                    raise ValueError(f"{self.name} imports {target}, which does not go along with it.")
                source = f".{file_of[target]}"
            if source not in {f".{file}", "__future__"}:
                yield from (_Imported(source, alias.name, alias.asname or "") for alias in node.names)

    def _refuse_hidden_imports(self) -> None:
        for function in ast.walk(self.tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Import | ast.ImportFrom) and (target := self._internal(node)):
                        raise ValueError(
                            f"{self.name}.{function.name} imports {target} when it runs. What goes along with a model "
                            "imports at its top, or is in another module."
                        )

    @property
    def postpones_annotations(self) -> bool:
        """Whether annotations are not evaluated."""
        return any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in self.tree.body)

    def defined(self) -> Iterator[str]:
        """The names that this module defines at its top."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
                yield from (name.id for name in names if isinstance(name.ctx, ast.Store))

    def body(self) -> str:
        """The module without its docstring and its imports at the top."""
        left_out = {
            number
            for node in self.tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        text = "\n".join(line for number, line in enumerate(self.lines, start=1) if number not in left_out)
        docstring = (ast.get_docstring(self.tree) or "").splitlines()[:1]
        return f"\n# {' '.join([self.name + ':', *docstring])}\n\n{text.strip()}\n"

    def _internal(self, node: ast.Import | ast.ImportFrom) -> str | None:
        """The module of wordsight's that a statement imports from, if it does."""
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            return next((name for name in names if name.split(".")[0] == PACKAGE), None)
        target = node.module or ""
        if node.level:
            target = resolve_name("." * node.level + target, self.name.rpartition(".")[0])
        return target if target.split(".")[0] == PACKAGE else None
