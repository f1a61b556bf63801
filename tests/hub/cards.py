"""What the Hub says of a card's metadata, and takes from it."""

from __future__ import annotations

import re
from typing import Any

import yaml

# The list of the Hub's documentation (hub-docs, repositories-licenses.md), and some that came since.
LICENSES = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0
artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0
epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c
ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib
pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
gemma unknown other
""".split()  # noqa: SIM905, a list of words reads better so
RELATIONS = {"adapter", "finetune", "merge", "quantized"}
TEXTS = ("library_name", "pipeline_tag", "pretty_name", "base_model_relation")
LISTS = ("license", "tags", "datasets", "metrics", "base_model", "language", "task_categories", "task_ids")
YAML_BLOCK = re.compile(r"\s*---(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$)", re.DOTALL)


def metadata(content: str) -> dict[str, Any]:
    """The YAML at the top of a card; {} where there is none.

    Raises:
        ValueError: it is no YAML mapping.
    """
    block = YAML_BLOCK.match(content)
    if block is None:
        return {}
    try:
        data = yaml.safe_load(block[1]) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"bad YAML: {error}") from error
    if not isinstance(data, dict):
        raise ValueError("metadata is no mapping")
    return data


def listed(value: Any) -> list[Any]:
    """A key's values, of which the Hub takes one as well as several."""
    return value if isinstance(value, list) else [] if value is None else [value]


def derived_tags(data: dict[str, Any]) -> list[str]:
    """The tags of a repository, which the Hub makes of more than `tags`."""
    found = [*listed(data.get("library_name")), *listed(data.get("pipeline_tag")), *listed(data.get("tags"))]
    found += listed(data.get("language"))
    for key, prefix in (("datasets", "dataset"), ("base_model", "base_model"), ("license", "license")):
        found += [f"{prefix}:{value}" for value in listed(data.get(key))]
    relation = data.get("base_model_relation")
    found += [f"base_model:{relation}:{model}" for model in listed(data.get("base_model")) if relation]
    return [*dict.fromkeys(map(str, found)), "region:us"]


def problems(content: str) -> list[str]:
    """What is wrong with a card's metadata."""
    from huggingface_hub.repocard_data import model_index_to_eval_results

    try:
        data = metadata(content)
    except ValueError as error:
        return [str(error)]
    found = [f'"{key}" must be a string' for key in TEXTS if not isinstance(data.get(key) or "", str)]
    for key in LISTS:
        value = data.get(key) or []
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            found.append(f'"{key}" must be a string or a list of strings')
    if not set(map(str, listed(data.get("license")))) <= set(LICENSES):
        found.append(f'"license" must be one of {sorted(LICENSES)}')
    if isinstance(data.get("base_model_relation"), str) and data["base_model_relation"] not in RELATIONS:
        found.append(f'"base_model_relation" must be one of {sorted(RELATIONS)}')
    if "model-index" in data:
        try:
            model_index_to_eval_results(data["model-index"])
        except (KeyError, TypeError, ValueError) as error:
            found.append(f'"model-index" is not valid: {error!r}')
    return found
