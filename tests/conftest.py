"""Shared fixtures: real parts, small where they can be."""

import os
import tempfile

import pytest

from tests.fixtures.hub.server import LoopbackHub

# Before huggingface_hub reads its environment: no test may reach for a hub but for the one on loopback, nor use the
# token or fill the caches of whoever runs the tests. That hub has no Xet storage.
HUB = LoopbackHub().start()
SCRATCH = tempfile.TemporaryDirectory(prefix="wordsight-tests-")
os.environ |= {
    "HF_ENDPOINT": HUB.endpoint,
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_CACHE": f"{SCRATCH.name}/hub",
    "HF_MODULES_CACHE": f"{SCRATCH.name}/modules",
    "HF_DATASETS_CACHE": f"{SCRATCH.name}/datasets",
    "HF_TOKEN_PATH": f"{SCRATCH.name}/token",
}
if not os.environ.get("WORDSIGHT_RECORD"):  # tests need some language model, not a good one
    os.environ["WORDSIGHT_LLM"] = "smollm2-135m"
for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many workers as cores: with threads for all cores in each, they would wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"

FIXTURES = ("texts", "encoders", "encoder_families", "open_clip", "bare", "published", "vllm", "app")


def pytest_configure(config):
    """Fixtures import PyTorch and more; pytest-xdist's main process, which runs no test, does without."""
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        for name in FIXTURES:
            config.pluginmanager.import_plugin(f"tests.fixtures.{name}")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's own, which reads the marks
def pytest_collection_modifyitems(items):
    """For pytest-xdist: a file's tests share a worker, and one worker has the language model server.

    Slow ones are left out without RUN_SLOW, as in transformers.
    """
    for item in items:
        if "slow" in item.keywords and not os.environ.get("RUN_SLOW"):
            item.add_marker(pytest.mark.skip(reason="slow: RUN_SLOW=1 runs it, as CI does"))
        needs_server = "vllm_server" in item.fixturenames
        item.add_marker(pytest.mark.xdist_group("server" if needs_server else item.path.stem))


@pytest.fixture
def hub():
    """The Hub, healthy and with an empty log; repositories of other tests may be there."""
    HUB.faults.clear()
    HUB.requests.clear()
    yield HUB
    HUB.faults.clear()
