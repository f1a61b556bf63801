"""examples/quickstart.ipynb: it was executed, and it runs, in a real kernel (whose event loop runs already)."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def results(notebook):
    """What each code cell shows, by kind; what libraries print differs from machine to machine."""
    return [[sorted(output.data) for output in cell.outputs if "data" in output] for cell in code_cells(notebook)]


def test_it_was_executed_from_top_to_bottom(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == [*range(1, len(code_cells(notebook)) + 1)]
    assert not any(output.output_type == "error" for cell in code_cells(notebook) for output in cell.outputs)
    assert NOTEBOOK.stat().st_size < 1_000_000


@pytest.mark.slow
def test_it_runs(notebook, vllm_server, tmp_path, monkeypatch):
    """With fewer sentences, by the server that the session's tests share."""
    shown = results(notebook)
    (parameters,) = (cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"SERVER = {vllm_server.base_url!r}\nSENTENCES = 30"
    monkeypatch.setenv("WORDSIGHT_API_KEY", vllm_server.api_key)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert results(notebook) == shown
    assert (tmp_path / "model" / "model.safetensors").is_file()
