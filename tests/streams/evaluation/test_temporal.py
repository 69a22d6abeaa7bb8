"""Models fitted to a log until T, refreshed or not, and asked about what follows."""

from __future__ import annotations

import json
from collections.abc import Sequence

import jsonschema
import msgspec
import numpy as np
import pytest

from models.history import History, HistoryEvent
from streams.config import Config
from streams.evaluation.offline import NothingToLearn
from streams.evaluation.plan import Start
from streams.evaluation.result_schemas import result_schema
from streams.evaluation.temporal import Temporal, evaluate_temporal
from streams.evaluation.temporal_result import (
    TemporalResult,
    Variant,
)
from streams.finished_log import FinishedLog, log_of
from streams.result_file import encode_result

HOUR_MS = 3_600_000
OLD = [(f"u{user}", item) for user in range(4) for item in ("x", "y")]
# Everybody goes on to an item that nobody knew before T.
NEW = [(f"u{user}", "new") for user in range(4)]


def log(rows: Sequence[tuple[str, str]] = (*OLD, *NEW)) -> FinishedLog:
    """Actions an hour apart, from hour 0 on."""
    history = History()
    history.append(
        (
            HistoryEvent(user_id=user, time_s=3600 * hour, action=1, item_id=item)
            for hour, (user, item) in enumerate(rows)
        ),
        from_offset=0,
        to_offset=1,
    )
    return FinishedLog("log", history, HOUR_MS * np.arange(len(rows)), "digest", None, {})


def evaluated(
    *models: str,
    variants: Sequence[Variant] = ("stale", "retrained", "warm"),
    start: Start = Start(ts_ms=8 * HOUR_MS),  # noqa: B008 - it never changes
    refresh_every_h: float | None = None,
    sample: float = 1.0,
    of: FinishedLog | None = None,
) -> TemporalResult:
    asked = Temporal(
        models=models,
        variants=variants,
        start=start,
        refresh_every_h=refresh_every_h,
        sample=sample,
    )
    return evaluate_temporal(asked, of or log(), Config())


def test_stale_models_miss_what_is_new_and_retrained_ones_the_first_time_only() -> None:
    result = evaluated("popularity")
    variants = result.models["popularity"].variants
    assert (result.questions, result.never_seen, result.repeated) == (4, 1, 0)
    assert (result.items_before, result.items) == (2, 3)
    stale, retrained = variants["stale"], variants["retrained"]
    assert stale is not None
    assert retrained is not None
    assert (stale.fits, stale.unknown, stale.test.hr_10) == (1, 4, 0.0)
    # A refresh an hour, a quarter of what follows: three of four know the item, the only one left.
    assert (retrained.fits, retrained.unknown) == (4, 1)
    assert (retrained.test.hr_10, retrained.test.mrr_10) == (0.75, 0.75)


def test_refreshes_are_as_far_apart_as_is_asked() -> None:
    result = evaluated("popularity", variants=["retrained"], refresh_every_h=2)
    run = result.models["popularity"].variants["retrained"]
    assert run is not None
    assert (run.fits, run.unknown, result.window.refresh_every_h) == (2, 2, 2.0)


def test_without_a_refresh_all_variants_are_one() -> None:
    variants = evaluated("als", refresh_every_h=100).models["als"].variants
    tests = [run.test for run in variants.values() if run is not None]
    assert len(tests) == 3
    assert tests[0] == tests[1] == tests[2]


def test_warm_is_null_where_a_model_cannot_go_on_and_learns_new_items_where_it_can() -> None:
    result = evaluated("popularity", "als")
    assert result.models["popularity"].variants["warm"] is None
    warm = result.models["als"].variants["warm"]
    assert warm is not None
    assert (warm.fits, warm.unknown) == (4, 1)


@pytest.mark.parametrize("name", ["popularity", "als"])
def test_variants_do_not_disturb_each_other(name: str) -> None:
    together = evaluated(name).models[name].variants
    for variant in ("stale", "retrained", "warm"):
        alone = evaluated(name, variants=[variant]).models[name].variants[variant]
        both = together[variant]
        assert (alone and alone.test) == (both and both.test)


def test_only_the_variants_that_are_asked_for_are_told() -> None:
    run = evaluated("popularity", variants=["retrained", "stale"]).models["popularity"]
    assert list(run.variants) == ["stale", "retrained"]


def test_t_is_a_share_of_the_actions_or_a_time() -> None:
    by_share, by_time = evaluated(start=Start(fraction=0.5)), evaluated(start=Start(ts_ms=1))
    assert (by_share.window.evaluate_from_action, by_share.questions) == (6, 6)
    assert (by_time.window.evaluate_from_action, by_time.window.evaluate_from_ms) == (1, HOUR_MS)


@pytest.mark.parametrize("start", [Start(fraction=0.0), Start(fraction=1.0), Start(ts_ms=10**15)])
def test_nothing_on_one_side_of_t_is_refused(start: Start) -> None:
    with pytest.raises(NothingToLearn, match="12 positive actions"):
        evaluated("popularity", start=start)


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(NothingToLearn, match="and 0 of the others"):
        evaluated("popularity", sample=1e-9)


def test_progress_ends_at_one_and_never_falls() -> None:
    told: list[tuple[str, float]] = []
    asked = Temporal(models=["als", "popularity"], start=Start(fraction=0.5))
    evaluate_temporal(asked, log(), Config(), lambda name, share: told.append((name, share)))
    for name in asked.models:
        shares = [share for of, share in told if of == name]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def test_result_fits_its_schema() -> None:
    value = encode_result(evaluated("popularity"))
    jsonschema.validate(json.loads(value), result_schema(TemporalResult))
    assert value.endswith(b"}\n")
    assert msgspec.json.decode(value, type=TemporalResult).models["popularity"].settings == {}


def test_times_of_a_log_are_those_of_its_actions_in_order() -> None:
    event = '{"type":"action","event_id":"%d","user_id":"u","ts_ms":%d,"action":"%s","item_id":"i"}'
    events = [(5_999, "click"), (1_500, "click"), (1_400, "view")]
    values = [(event % (number, *one)).encode() for number, one in enumerate(events)]
    found = log_of("log", values, Config())
    assert found.times_ms.tolist() == [1_500, 5_999]
    assert found.history.times_s.tolist() == [1, 5]
