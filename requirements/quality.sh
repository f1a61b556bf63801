#!/usr/bin/env bash
# Types and imports. Neither mypy nor import-linter follows setuptools' package-dir: they get the package as it is
# installed, as links, and run from there, so that they don't take the bare folder wordsight/ for it.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=.mypy_tree/wordsight
rm -rf .mypy_tree && mkdir -p "$tree"
for path in "$PWD"/wordsight/*; do ln -s "$path" "$tree/"; done
for package in description_gen model_cards modeling pipelines; do ln -s "$PWD/$package" "$tree/$package"; done
MYPYPATH=.mypy_tree .venv/bin/mypy --config-file pyproject.toml -p wordsight
cd .mypy_tree
../.venv/bin/lint-imports --no-logo --no-cache ../pyproject.toml
