from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator, ValidationError

from streams.click_quality import ClickQuality
from streams.evaluation.result import (
    AttributionRule,
    Cost,
    Ingested,
    NextItem,
    Ranked,
    Result,
    Window,
    decode_result,
)
from streams.evaluation.result_schemas import result_schema
from streams.result_file import encode_result


def result(**changes: object) -> Result:
    values: dict[str, object] = {
        "headrace": "0.1.0",
        "file": "log.jsonl",
        "file_digest": "00",
        "configuration": "c0ffee00",
        "overrides": [],
        "window": Window(evaluate_from_ms=1, evaluate_from_event=0, sample=1.0, seed=7),
        "attribution": AttributionRule(window_ms=1, after_click_ms=0, outcomes={"joined": 1}),
        "next_item": NextItem(
            served=Ranked(hr_10=0.5, hr_20=0.5, ndcg_10=0.25, mrr_20=0.125),
            asked=Ranked(),
            coverage=None,
            evaluated=0,
            recall_miss=0,
            never_seen=0,
            popular_served=0,
        ),
        "sources": {},
        "models": {},
        "click": ClickQuality(),
        "ingested": Ingested(outcomes={"ok": 3}, refused={}),
        "bundles": [],
        "cost": Cost(cpu_s=1.0, wall_s=1.0, peak_rss_mb=1.0, events=3, lists=0, training_cpu_s=0.0),
        **changes,
    }
    return Result(**values)  # type: ignore[arg-type]


def test_result_fits_the_published_schema() -> None:
    Draft202012Validator(result_schema(Result)).validate(json.loads(encode_result(result())))


def test_schema_refuses_a_share_above_one() -> None:
    value = json.loads(encode_result(result()))
    value["next_item"]["served"]["hr@20"] = 1.5

    with pytest.raises(ValidationError):
        Draft202012Validator(result_schema(Result)).validate(value)


def test_metrics_have_their_published_names_and_missing_ones_are_null() -> None:
    value = json.loads(encode_result(result()))

    assert value["next_item"]["served"] == {
        "hr@10": 0.5,
        "hr@20": 0.5,
        "ndcg@10": 0.25,
        "mrr@20": 0.125,
    }
    assert set(value["next_item"]["asked"].values()) == {None}
    assert value["click"]["ne"] is None


def test_a_figure_that_is_no_number_becomes_null() -> None:
    value = json.loads(encode_result(result(click=ClickQuality(ne=float("nan")))))

    assert value["click"]["ne"] is None


def test_reads_back() -> None:
    assert decode_result(encode_result(result())) == result()
