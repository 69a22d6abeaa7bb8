"""How does a trained ranker become a bundle, and how does a live process order lists by one?

A bundle holds the ranker's arrays and says of which features it learned: under another feature
layout its numbers would mean something else, so it is refused. Nothing of a bundle is executed:
trees are in XGBoost's own format, everything else is plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.bundle import WEIGHTS, BundleConfig, BundleRefused, write_bundle
from models.online.ftrl import MAX_LOGIT
from models.rankers.registry import new_ranker
from models.rankers.slate_ranker import RankerRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from models.bundle import Bundle
    from models.rankers.slate_ranker import SlateRanker, SlateShape

RANKER_PREFIX: Final = "ranker-"
"""Of the bundles' kinds, before the ranker's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerHead:
    """Which ranker orders lists, and by which features.

    Attributes:
        name: Among `SERVABLE_RANKERS`.
        shape: Of the features.
    """

    name: str
    shape: SlateShape

    @property
    def kind(self) -> str:
        """Of its bundles."""
        return RANKER_PREFIX + self.name

    def untrained(self) -> SlateRanker:
        """Return one that has learned nothing."""
        return new_ranker(self.name, self.shape)

    def save(self, folder: Path, ranker: SlateRanker, provenance: RankerProvenance) -> Bundle:
        """Write a bundle of a ranker of this name and shape.

        Raises:
            FileExistsError: `folder` exists; bundles are never overwritten.
        """
        return write_bundle(
            folder,
            config=BundleConfig(
                kind=self.kind,
                created_ms=provenance.created_ms,
                cutoff_offset=provenance.cutoff_offset,
                cutoff_ms=provenance.cutoff_ms,
                metrics=provenance.metrics,
                settings=self._settings(ranker),
            ),
            item_ids=(),
            weights=ranker.arrays(),
        )

    def load(self, bundle: Bundle) -> SlateRanker:
        """Return the ranker that a checked bundle was saved from.

        Raises:
            BundleRefused: It is another ranker's, learned under another feature layout or other
                settings, or its weights do not fit.
        """
        found = bundle.config.kind
        if found != self.kind:
            raise BundleRefused(f"{bundle.folder}: kind {found!r} found, {self.kind!r} expected")
        ranker = self.untrained()
        settings, expected = dict(bundle.config.settings), self._settings(ranker)
        if settings != expected:
            keys = sorted({*settings, *expected})
            odd = [key for key in keys if settings.get(key) != expected.get(key)]
            raise BundleRefused(
                f"{bundle.folder}: {self.name} of {', '.join(odd)} "
                f"{[settings.get(key) for key in odd]} found, {[expected.get(key) for key in odd]} "
                "expected: it was trained under another configuration of the features or of "
                "itself; train anew (`headrace train`)"
            )
        try:
            ranker.restore(bundle.arrays(WEIGHTS))
        except RankerRefused as error:
            raise BundleRefused(f"{bundle.folder}: {error}") from error
        return ranker

    def _settings(self, ranker: SlateRanker) -> dict[str, Any]:
        shape = self.shape
        meaning = repr((shape.offsets.tolist(), shape.num_relevance, shape.meaning))
        digest = blake2b(meaning.encode(), digest_size=8).hexdigest()
        return {"feature_layout": digest, **ranker.settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerProvenance:
    """What a bundle says of a training, beside the weights; see `BundleConfig`."""

    created_ms: int
    cutoff_offset: int
    cutoff_ms: int
    metrics: Mapping[str, float | None]


class ServedRanker:
    """A bundle's ranker, as lists are ordered by it.

    Attributes:
        name: Of the ranker.
        digest: Of the bundle.
        is_logit: Whether scores add up with noise: an expected watch time does not, its log does.
    """

    def __init__(self, head: RankerHead, bundle: Bundle) -> None:
        """Load a checked bundle.

        Raises:
            BundleRefused: See `RankerHead.load`.
        """
        self.name = head.name
        self.digest = bundle.digest
        self._ranker = head.load(bundle)
        self.is_logit = self._ranker.predicts != "watch_time"

    def scores(
        self, relevance: NDArray[np.integer], sizes: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """By which the items of each slate are to be ordered; no slate depends on the others.

        Args:
            relevance: int[N, R], of several slates end to end.
            sizes: int[B], how many items each has.

        Returns:
            float64[N]: expected watch times where those are predicted, else logits or, of
            `xgboost_ndcg`, numbers of no scale.
        """
        if self._ranker.is_batched:
            scores = self._ranker.scores(relevance)
        else:
            parts = np.split(relevance, np.cumsum(sizes)[:-1])
            scores = np.concatenate([self._ranker.scores(part) for part in parts])
        return scores if self.is_logit else np.exp(np.minimum(scores, MAX_LOGIT))
