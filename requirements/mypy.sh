#!/usr/bin/env bash
# mypy follows neither setuptools' package-dir nor import hooks: it gets the package as it is installed, as links.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=.mypy_tree/wordsight
rm -rf .mypy_tree && mkdir -p "$tree"
for path in "$PWD"/wordsight/*; do ln -s "$path" "$tree/"; done
for package in description_gen model_cards modeling pipelines; do ln -s "$PWD/$package" "$tree/$package"; done
MYPYPATH=.mypy_tree .venv/bin/mypy --config-file pyproject.toml -p wordsight
