"""The way in, as README has it for a machine with a model hub: with the ImageNet encoder it runs as it stands here."""

import ast
import re
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def snippet(vllm_server):
    """README's code, with the embedded encoder and language model in place of the Hub's."""
    (code,) = re.findall(r"```python\n(from transformers import EarlyStopping.*?)```", README.read_text(), re.DOTALL)
    code = code.replace('"openai/clip-vit-base-patch16"', '"imagenet"')
    server = f"base_url={vllm_server.base_url!r}, sentences=30"
    assert 'llm="Qwen/Qwen3-8B"' in code
    return code.replace('llm="Qwen/Qwen3-8B"', server)


def test_readme_s_snippet(snippet, vllm_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDSIGHT_API_KEY", vllm_server.api_key)
    Image.fromarray(data.chelsea()).save("photo.jpg")
    *lines, ours, stock = ast.parse(snippet).body
    namespace = {}
    exec(compile(ast.Module(lines, []), "README.md", "exec"), namespace)
    of_ours, of_stock = (
        eval(compile(ast.Expression(line.value), "README.md", "eval"), namespace) for line in (ours, stock)
    )
    assert of_ours == of_stock and of_ours[0]["label"] == "cat"
    history = [entry for entry in namespace["trainer"].state.log_history if "eval_map" in entry]
    assert history and namespace["trainer"].state.best_model_checkpoint
    assert (tmp_path / "model" / "README.md").is_file()
