"""What a wide & deep ranker saves, and which files it refuses; see also the rankers' contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.slate_ranker import RANKERS, RankerRefused, SlateShape
from models.watch_time_ranker import WatchTimeRanker
from models.wide_deep_ranker import WideDeepRanker

SHAPE = SlateShape(offsets=np.array([0, 8, 12, 18]), num_relevance=2)
FILE = "wide_deep.safetensors"


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    WideDeepRanker(SHAPE).save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RankerRefused, match=f"{FILE}: found .*train anew"):
        WideDeepRanker(SHAPE).load(tmp_path)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    save_file({"weights": np.zeros(3)}, tmp_path / FILE)
    with pytest.raises(RankerRefused, match="found weights of None, expected"):
        WideDeepRanker(SHAPE).load(tmp_path)


def test_one_ranker_does_not_take_the_others_weights(tmp_path: Path) -> None:
    WatchTimeRanker(SHAPE).save(tmp_path)
    with pytest.raises(RankerRefused, match=r"weights of \('watch_time'"):
        WideDeepRanker(SHAPE).load(tmp_path)


def test_what_goes_on_after_loading_goes_on_from_all_that_was_learned(tmp_path: Path) -> None:
    """The sums by which steps become shorter are saved, too."""
    slate = (
        np.array([[1, 9], [2, 8], [3, 10]]),
        np.array([[12], [13], [14]]),
        np.array([True, False, False]),
    )
    first, again = (RANKERS["wide_deep"](SHAPE) for _ in range(2))
    for _ in range(20):
        first.learn(*slate)
    first.save(tmp_path)
    again.load(tmp_path)
    for ranker in (first, again):
        ranker.learn(*slate)
    assert again.scores(slate[0]).tolist() == first.scores(slate[0]).tolist()
