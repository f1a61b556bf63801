"""From embeddings to logits, and the ranking loss: the formulas of TaI-DPT (arXiv 2211.12739, sections 3.2 to 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def global_logits(features: Tensor, categories: Tensor, logit_scale: float) -> Tensor:
    """Cosine of each text or image with each category, times tau: s_i = tau * <g(x), G_i>.

    Args:
        features: (N, D), unit vectors.
        categories: (K, D), unit vectors.
        logit_scale: tau.

    Returns:
        (N, K) logits.
    """
    return logit_scale * features @ categories.T


def position_logits(positions: Tensor, categories: Tensor, logit_scale: float) -> Tensor:
    """The same at every position (token or patch): (N, P, D) against (K, D) -> (N, P, K)."""
    return logit_scale * positions @ categories.T


def local_logits(
    positions: Tensor, categories: Tensor, logit_scale: float, temperature: float, mask: Tensor | None = None
) -> Tensor:
    """Cosines at all positions, averaged with softmax weights that favor the best ones.

    r_i = tau * sum_j softmax_j(<t_j, L_i> / beta) * <t_j, L_i>   (TaI-DPT, section 3.4)

    Args:
        positions: (N, P, D), unit vectors of tokens or patches.
        categories: (K, D), unit vectors.
        logit_scale: tau.
        temperature: beta; small values come near the maximum over positions, and 0 is the maximum (CoMC's).
        mask: (N, P) bool, False at positions that don't count (padding).

    Returns:
        (N, K) logits.
    """
    cosines = positions @ categories.T
    scaled = cosines / temperature if temperature else cosines
    if mask is not None:
        scaled = scaled.masked_fill(~mask.unsqueeze(-1), torch.finfo(scaled.dtype).min)
    if not temperature:
        return logit_scale * scaled.amax(dim=1)
    return logit_scale * (scaled.softmax(dim=1) * cosines).sum(dim=1)


def token_logits(tokens: Tensor, lengths: Tensor, categories: Tensor, logit_scale: float, temperature: float) -> Tensor:
    """`local_logits` of texts whose tokens stand one behind the other, without padding.

    Args:
        tokens: (T, D), unit vectors, text by text.
        lengths: (N,) tokens of each text, at least 1; their sum is T.
        categories: (K, D), unit vectors.
        logit_scale: tau.
        temperature: beta.

    Returns:
        (N, K) logits.
    """
    cosines = tokens @ categories.T
    text = torch.repeat_interleave(lengths)
    # Softmax over each text's tokens; the greatest is taken off first, as everywhere, so that nothing overflows.
    scaled = cosines / temperature
    greatest = torch.segment_reduce(scaled.detach(), "max", lengths=lengths)
    weights = (scaled - greatest.index_select(0, text)).exp()
    nothing = torch.zeros_like(greatest)
    return logit_scale * nothing.index_add(0, text, weights * cosines) / nothing.index_add(0, text, weights)


def mix_branches(in_global: Tensor, in_local: Tensor, local_weight: float) -> Tensor:
    """The scores of both branches as one: their weighted mean.

    Args:
        in_global: (..., K), the global branch's.
        in_local: (..., K), the local branch's.
        local_weight: what the local branch counts, in [0, 1].
    """
    return (1 - local_weight) * in_global + local_weight * in_local


def mix_classifier(scores: Tensor, features: Tensor, weight: Tensor, bias: Tensor, share: Tensor) -> Tensor:
    """Scores of photos with those of a linear classifier of their features mixed in: z + share (W f + b - z).

    Args:
        scores: (N, K), z.
        features: (N, D), f, unit vectors.
        weight: (K, D), W.
        bias: (K,), b.
        share: (K,), what the classifier counts in each category, in [0, 1].
    """
    return scores + share * (features @ weight.T + bias - scores)


# Of the spread of a photo's scores over categories: what the best of several tiles gains where there is nothing. Chosen
# so that as many labels are found with tiles as without on photos of one scene.
TILES_GAIN = 0.28
# Correlation of two tiles' scores in one scene, and in a picture put together of many.
ONE_SCENE, MANY_SCENES = 0.6, 0.25
# Of what the whole counts: what it loses in a picture of many scenes, each of which is a small part of it.
CROWDED_LOSS = 0.3
FEWEST_TO_CORRELATE = 5  # categories


def combine_views(
    scores: Tensor, num_views: Sequence[int], whole_weights: Sequence[float], reference: Tensor | None = None
) -> Tensor:
    """Scores of photos from those of their views, at the level of scores without tiles.

    s_i = w s_i(whole) + (1 - w) max_tiles s_i(tile) - 0.28 (1 - c) std_k s_k(whole)

    A thing that fills a tile is found by the tile; the whole says whether it fits the rest. The highest of several
    tiles is higher than one look, whatever they show: the last term takes that off, so that thresholds hold. Where
    tiles show different scenes (c near 1, see `crowdedness`), each is one look, and the whole shows all of them small:
    nothing is taken off, and w is 0.7 of what it is in one scene.

    Args:
        scores: (V, K), photo after photo, of each the whole and then its tiles.
        num_views: of each of the B photos, 1 where it has no tiles; their sum is V.
        whole_weights: w of each of the B photos (see `whole_weight`).
        reference: (V, C), the scores whose spread is taken; the scores themselves by default.

    Returns:
        (B, K); a photo without tiles keeps its scores.
    """
    if len(scores) == len(num_views):
        return scores
    reference = scores if reference is None else reference
    combined = []
    for views, spread_of, weight in zip(
        scores.split(list(num_views)), reference.split(list(num_views)), whole_weights, strict=True
    ):
        if len(views) == 1:
            combined.append(views[0])
            continue
        crowded = crowdedness(spread_of[1:])
        weight *= 1 - CROWDED_LOSS * crowded
        gain = TILES_GAIN * (1 - crowded) * spread_of[0].std() if len(spread_of[0]) > 1 else 0.0
        combined.append(weight * views[0] + (1 - weight) * views[1:].max(dim=0).values - gain)
    return torch.stack(combined)


def crowdedness(scores: Tensor) -> float:
    """How different what a photo's tiles show is: 0 for one scene, 1 for a picture put together of many.

    c = (0.6 - r) / (0.6 - 0.25), within [0, 1]; r is the correlation of two tiles' scores over the categories, the mean
    over all pairs. Tiles of one scene have much in common, were it only what is not there.

    Args:
        scores: (T, K), of the tiles. Of fewer than 5 categories correlations say nothing, and it is 0.
    """
    tiles, categories = scores.shape
    if tiles < 2 or categories < FEWEST_TO_CORRELATE:
        return 0.0
    pairs = torch.corrcoef(scores.float())[~torch.eye(tiles, dtype=torch.bool, device=scores.device)]
    mean = float(pairs.nan_to_num(1.0).mean())  # no correlation where all scores of a tile are equal
    return min(max((ONE_SCENE - mean) / (ONE_SCENE - MANY_SCENES), 0.0), 1.0)


def concept_loss(categories: Tensor, concepts: Tensor) -> Tensor:
    """How far category embeddings are from class concepts: sum over k of 1 - <G_k, C_k>.

    Args:
        categories: (K, D), unit vectors.
        concepts: (K, D), unit vectors; zeros for a category that has none, which then is drawn to nothing.

    Returns:
        A scalar.
    """
    return (1 - (categories * concepts).sum(dim=-1)).sum()


def ranking_loss(logits: Tensor, labels: Tensor, margin: float, reduction: str = "mean") -> Tensor:
    """Hinge over all pairs of a present and an absent category (TaI-DPT, equation 5).

    loss = mean over texts of sum over (positive p, negative n) of max(0, margin - s_p + s_n)

    Args:
        logits: (N, K).
        labels: (N, K), 1 where the category is present.
        margin: the least distance asked between a present and an absent category.
        reduction: "mean" over the N texts, or their "sum".

    Returns:
        A scalar.
    """
    # Few categories are present in a text: pairing each present one with all K costs positives x K, not N x K x K.
    rows, columns = labels.bool().nonzero(as_tuple=True)
    hinge = (margin - logits[rows, columns].unsqueeze(-1) + logits[rows]).clamp(min=0)
    total = (hinge * ~labels.bool()[rows]).sum()
    return total / max(len(logits), 1) if reduction == "mean" else total
