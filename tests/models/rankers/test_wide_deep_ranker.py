"""What a wide & deep ranker does not take over; see also the rankers' contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import BundleRefused
from models.rankers.ranker_bundle import RankerHead, RankerProvenance
from models.rankers.slate_ranker import RankerRefused, SlateShape
from models.rankers.watch_time_ranker import WatchTimeRanker
from models.rankers.wide_deep import WideDeepConfig
from models.rankers.wide_deep_ranker import WideDeepRanker

SHAPE = SlateShape(offsets=np.array([0, 8, 12, 18]), num_relevance=2)
PROVENANCE = RankerProvenance(created_ms=1, cutoff_offset=0, cutoff_ms=0, metrics={})


def test_weights_of_other_rates_are_refused(tmp_path: Path) -> None:
    other, head = WideDeepConfig(learning_rate=0.5), RankerHead(name="wide_deep", shape=SHAPE)
    bundle = head.save(tmp_path / "bundle", WideDeepRanker(SHAPE, other), PROVENANCE)
    with pytest.raises(BundleRefused, match=r"learning_rate \[0.5\] found, \[0.01\] expected"):
        head.load(bundle)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_and_change_nothing(odd: float) -> None:
    ranker = WideDeepRanker(SHAPE)
    before = {name: values.copy() for name, values in ranker.arrays().items()}
    name = max(before)
    spoilt = {**before, name: before[name].copy()}
    spoilt[name].flat[-1] = odd
    with pytest.raises(RankerRefused, match=f"not finite in {name} of WideDeepRanker"):
        ranker.restore(spoilt)
    for key, values in ranker.arrays().items():
        np.testing.assert_array_equal(values, before[key])


def test_one_ranker_does_not_take_the_others_weights() -> None:
    with pytest.raises(RankerRefused, match="another shape or name than WideDeepRanker"):
        WideDeepRanker(SHAPE).restore(WatchTimeRanker(SHAPE).arrays())
