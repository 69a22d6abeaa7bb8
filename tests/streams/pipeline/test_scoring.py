"""What the heads say of what is shown and of what is to be ranked."""

import numpy as np
import pytest

from models.online.reranker import COLD
from streams.examples import (
    ImpressionRow,
    SlateRow,
    unpack_float32,
    unpack_int32,
)
from tests.streams.stream_events import START_MS, click, shown, visit
from tests.streams.taught import Line, config, item, live_models, put_items

ITEMS = [f"i{number}" for number in range(12)]
SEQUENCES = [[one, other] for one in ITEMS for other in ITEMS[:6]]


def line(**overrides: object) -> Line:
    settings = config(online__heads=["choice", "click"], **overrides)
    made = Line(settings, live_models(settings, SEQUENCES))
    put_items(
        made.live,
        *(item(name, categories=(f"c{place % 3}",)) for place, name in enumerate(ITEMS)),
    )
    choice = made.live.online.choice
    assert choice is not None
    generator = np.random.default_rng(1)
    num_cells = choice.table.num_rows
    choice.table.columns["moved"].put_many(np.arange(num_cells), generator.normal(size=num_cells))
    return made


def column(made: Line, name: str) -> int:
    return made.live.online.rerank_feature_names.index(name)


def test_what_the_heads_say_of_shown_items_is_logged_with_them() -> None:
    made = line()
    choice = made.live.online.choice
    assert choice is not None

    (row,) = made.take(shown("u", START_MS, items=["i3", "i4", "never heard of"])).record.rows

    assert isinstance(row, ImpressionRow)
    features_NF = unpack_float32(row.rerank, 3)
    said = choice.utilities(unpack_int32(row.choice, 3), np.full(3, row.pull))
    np.testing.assert_allclose(
        features_NF[:, column(made, "choice")], said - said.mean(), atol=1e-5
    )
    assert features_NF[:, column(made, "trending:missing")].tolist() == [0, 0, 1]
    assert not features_NF[:, column(made, "trending:reciprocal_rank")].any()
    assert features_NF[:, column(made, COLD)].tolist() == [1, 1, 1]


def test_a_shown_item_differs_from_the_same_candidate_by_the_slate_alone() -> None:
    """Inputs are relative to a slate: between two items of it the difference is the same."""
    made = line(ranking__slate_sample_rate=1.0, ranking__skip_acted=False)
    made.take(click("u", "i1", START_MS))

    rows = made.take(
        shown("u", START_MS + 1000, items=["i3", "i4"]), visit("u", START_MS + 1000)
    ).record
    impression, _, slate = rows.rows
    assert isinstance(impression, ImpressionRow)
    assert isinstance(slate, SlateRow)
    of_shown = unpack_float32(impression.rerank, 2)
    of_candidates = unpack_float32(slate.features, len(slate.items))
    places = [slate.items.index(index) for index in impression.items]

    for name in ("trending", "covisitation", "click"):
        at = column(made, name)
        shown_apart = of_shown[0, at] - of_shown[1, at]
        assert shown_apart == pytest.approx(
            of_candidates[places[0], at] - of_candidates[places[1], at], abs=1e-4
        )
    assert of_candidates[:, column(made, "trending:reciprocal_rank")].any()


def test_the_re_ranker_follows_a_head_that_it_trusts() -> None:
    made = line(ranking__num_new=0)
    online = made.live.online
    assert online.choice is not None
    weights = online.reranker.table.columns["moved"]
    weights.put(column(made, "choice"), 100.0)
    online.reranker.progress.columns["num_slates"].put(0, 1000.0)
    online.reranker.progress.columns["memory"].put(0, 1.0)
    online.reranker.progress.columns["tuned_loss"].put(0, 1.0)
    alone = line(ranking__num_new=0, ranking__head="choice")

    (trusting,) = made.take(visit("u")).lists.values()
    (by_choice,) = alone.take(visit("u")).lists.values()

    assert [one.item_id for one in trusting.items] == [one.item_id for one in by_choice.items]
