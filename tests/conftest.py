"""Shared fixtures: real parts, small where they can be."""

import os

# No test may reach for a hub; set before huggingface_hub reads it.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

pytest_plugins = ["tests.fixtures.encoders", "tests.fixtures.texts", "tests.fixtures.vllm"]
