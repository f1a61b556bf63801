"""The one place that holds the version: `pyproject.toml` and the configs read it from here."""

__version__ = "0.3.0"
