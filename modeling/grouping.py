"""Which categories share prompt tokens: groups that look alike, and groups that are seen together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.errors import InvalidInputError, needs

from .text_features import pooled_features

with needs("train"):
    import networkx as nx
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import silhouette_score

if TYPE_CHECKING:
    from wordsight.description_gen.categories import Category
    from wordsight.description_gen.dataset import Knowledge

    from .encoders import TextEncoder

Groups = list[list[str]]
GroupsGiven = Path | str | Mapping[str, Groups]
KINDS = ("attribute_groups", "cooccurrence_groups")
MAX_GROUPS = 50  # tried; each try is a clustering


def find_groups(
    categories: Sequence[Category],
    encoder: TextEncoder,
    knowledge: Knowledge | None,
    labels: NDArray[np.integer],
    given: GroupsGiven | None = None,
    seed: int = 0,
) -> dict[str, Groups]:
    """Both kinds of groups: those passed in, the others from knowledge, labels and names, as far as they are known.

    Args:
        categories: the K categories.
        encoder: the text encoder, for what categories look like.
        knowledge: what a language model said of them.
        labels: (N, K) multi-hot labels of sentences; N may be 0.
        given: a file that `read_groups` takes, or what it holds.
        seed: seed of the search for communities.

    Returns:
        "attribute_groups" and "cooccurrence_groups", as `WordsightConfig` takes them. Where nothing tells which
        categories are seen together, all are in one group.

    Raises:
        InvalidInputError: the groups are not in the expected form.
    """
    names = [category.name for category in categories]
    found: dict[str, Groups] = {}
    if isinstance(given, Mapping):
        found = {kind: [list(group) for group in groups] for kind, groups in given.items()}
        if unknown := set(found) - set(KINDS):
            raise InvalidInputError(f"groups has {', '.join(sorted(unknown))}; allowed are {' and '.join(KINDS)}.")
    elif given is not None:
        found = {kind: groups for kind, groups in zip(KINDS, read_groups(Path(given)), strict=True) if groups}
    if KINDS[0] not in found:
        found[KINDS[0]] = attribute_groups(names, attribute_embeddings(categories, knowledge, encoder))
    if KINDS[1] not in found:
        graph = cooccurrence_graph(names, knowledge.co_occurrence if knowledge else {}, labels)
        found[KINDS[1]] = cooccurrence_groups(graph, seed) if graph.number_of_edges() else [names]
    return found


def attribute_groups(names: Sequence[str], embeddings: NDArray[np.float32], num_groups: int | None = None) -> Groups:
    """Clusters categories by what they look like: agglomerative, average linkage, cosine.

    Args:
        names: K category names.
        embeddings: (K, D), one embedding of each category's attribute answers.
        num_groups: how many groups; by default the number between 2 and K / 2 (at most 50) with the best silhouette.

    Returns:
        The groups, each category in exactly one, in the order of their first member.
    """
    if len(names) < 4 and num_groups is None:
        return [list(names)]

    def cluster(number: int) -> NDArray[np.int64]:
        return AgglomerativeClustering(number, metric="cosine", linkage="average").fit_predict(embeddings)

    if num_groups is None:
        candidates = range(2, min(len(names) // 2, MAX_GROUPS) + 1)
        num_groups = max(candidates, key=lambda n: silhouette_score(embeddings, cluster(n), metric="cosine"))
    assignment = cluster(min(num_groups, len(names))) if len(names) > 1 else np.zeros(1, dtype=np.int64)
    groups = [[name for name, at in zip(names, assignment, strict=True) if at == g] for g in np.unique(assignment)]
    return _in_order(groups, names)


def cooccurrence_graph(
    names: Sequence[str], answers: Mapping[str, Mapping[str, float]], labels: NDArray[np.integer]
) -> nx.Graph:
    """Graph of categories, weighted by how often two are seen together.

    Args:
        names: K category names.
        answers: the LLM's co-occurrence answers: name -> other name -> weight in [0, 1]. A pair weighs the mean of both
            directions.
        labels: (N, K) multi-hot labels of the sentences. The cosine of two categories' columns is added
            to their weight.
    """
    together = labels.T.astype(np.float64) @ labels
    counts = np.maximum(np.sqrt(np.diag(together)), 1)
    weights = together / counts[:, None] / counts[None, :]
    graph = nx.Graph()
    graph.add_nodes_from(names)
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            said = (answers.get(first, {}).get(second, 0.0) + answers.get(second, {}).get(first, 0.0)) / 2
            if weight := float(weights[i, j]) + said:
                graph.add_edge(first, second, weight=weight)
    return graph


def cooccurrence_groups(graph: nx.Graph, seed: int = 0) -> Groups:
    """Communities of the graph of categories that are seen together, by modularity (Louvain).

    Args:
        graph: see `cooccurrence_graph`.
        seed: seed of the Louvain algorithm.

    Returns:
        The groups, each category in exactly one, in the order of their first member.
    """
    names = list(graph)
    communities = nx.community.louvain_communities(graph, weight="weight", seed=seed)
    return _in_order([sorted(group, key=names.index) for group in communities], names)


def cooccurring_categories(graph: nx.Graph, most: int = 2) -> dict[str, list[str]]:
    """Category -> those that it is most often seen with, best first; categories that are seen with none are left out.

    Args:
        graph: see `cooccurrence_graph`.
        most: how many of them.
    """
    found = {}
    for name in graph:
        others = sorted(graph[name].items(), key=lambda other: -other[1]["weight"])
        if others:
            found[name] = [other for other, _ in others[:most]]
    return found


def attribute_embeddings(
    categories: Sequence[Category], knowledge: Knowledge | None, encoder: TextEncoder
) -> NDArray[np.float32]:
    """Embeddings (K, D) of what each category looks like: its name and its attribute answers as one text."""
    answers = knowledge.attributes if knowledge else {}
    texts = [". ".join([category.in_prompt, *answers.get(category.name, [])]) for category in categories]
    embeddings: NDArray[np.float32] = pooled_features(texts, encoder).numpy()
    return embeddings


def write_groups(attribute: Groups, cooccurrence: Groups, path: Path) -> None:
    """Writes what `read_groups` reads, one group a line, for a person to edit."""
    blocks = [
        f'  "{kind}": [\n' + ",\n".join(f"    {json.dumps(group, ensure_ascii=False)}" for group in groups) + "\n  ]"
        for kind, groups in (("attribute_groups", attribute), ("cooccurrence_groups", cooccurrence))
    ]
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


def read_groups(path: Path) -> tuple[Groups | None, Groups | None]:
    """Reads a user's own groups: JSON with "attribute_groups" and/or "cooccurrence_groups", lists of lists of names.

    Raises:
        InvalidInputError: the file is not that.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} can't be read as JSON groups: {error}") from error
    known = set(KINDS)
    if not isinstance(content, dict) or not content or set(content) - known:
        raise InvalidInputError(f"{path}: expected a JSON object with {' and/or '.join(sorted(known))}.")
    return content.get(KINDS[0]), content.get(KINDS[1])


def _in_order(groups: Groups, names: Sequence[str]) -> Groups:
    position = {name: index for index, name in enumerate(names)}
    return sorted(groups, key=lambda group: min(position[name] for name in group))
