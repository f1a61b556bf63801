"""What the Hub says of a card's metadata, and takes from it."""

from __future__ import annotations

from typing import Any

import yaml

LICENSES = {"apache-2.0", "mit", "openrail", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "bsd-3-clause", "gpl-3.0", "other"}
RELATIONS = {"adapter", "finetune", "merge", "quantized"}
TEXTS = ("library_name", "pipeline_tag", "license", "pretty_name", "base_model_relation")
LISTS = ("tags", "datasets", "metrics", "base_model", "language", "task_categories", "task_ids")


def metadata(content: str) -> dict[str, Any]:
    """The YAML at the top of a card; {} where there is none.

    Raises:
        ValueError: it is no YAML mapping.
    """
    if not content.startswith("---\n"):
        return {}
    header, _, _ = content[4:].partition("\n---")
    try:
        data = yaml.safe_load(header) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"bad YAML: {error}") from error
    if not isinstance(data, dict):
        raise ValueError("metadata is no mapping")
    return data


def problems(content: str) -> list[str]:
    """What is wrong with a card's metadata."""
    from huggingface_hub.repocard_data import model_index_to_eval_results

    try:
        data = metadata(content)
    except ValueError as error:
        return [str(error)]
    found = [f'"{key}" must be a string' for key in TEXTS if key in data and not isinstance(data[key], str)]
    for key in LISTS:
        value = data.get(key, [])
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            found.append(f'"{key}" must be a string or a list of strings')
    if isinstance(data.get("license"), str) and data["license"] not in LICENSES:
        found.append(f'"license" must be one of {sorted(LICENSES)}')
    if isinstance(data.get("base_model_relation"), str) and data["base_model_relation"] not in RELATIONS:
        found.append(f'"base_model_relation" must be one of {sorted(RELATIONS)}')
    if "model-index" in data:
        try:
            model_index_to_eval_results(data["model-index"])
        except (KeyError, TypeError, ValueError) as error:
            found.append(f'"model-index" is not valid: {error!r}')
    return found
