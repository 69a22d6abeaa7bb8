"""What the demo shows while it runs and at its end."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console, RenderableType

from deploy.storefront.calibration import QUANTILES
from deploy.storefront.calibration import Figures as Marginals
from deploy.storefront.report import Interval, Report
from deploy.storefront.settings import Settings
from deploy.storefront.simulate import Outcome, Phase, Progress
from featurestore.events import ItemId, UserId
from featurestore.lists import AsOf, ModelVersions, RecommendationList, RecommendedItem
from streams.demo.reader import Change
from streams.demo.screen import Screen, change_table, summary
from streams.role_figures import Figures

NOTHING = Figures({})
NO_QUANTILES = (0.0,) * len(QUANTILES)


def text(shown: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(shown)
    return out.getvalue()


def figures(**values: float) -> Figures:
    """Series without labels."""
    return Figures({(f"recsys_{name}", frozenset()): value for name, value in values.items()})


def counted() -> Figures:
    return Figures(
        {
            **figures(
                ctr_predictions_total=1000,
                ctr_observed_clicks_total=100,
                ctr_predicted_clicks_total=120,
                ctr_logloss_nats_total=300,
            ).series,
            ("recsys_events_total", frozenset({("topic", "events")})): 1234,
            ("recsys_events_total", frozenset({("topic", "items")})): 99,
            ("recsys_recommendations_total", frozenset({("outcome", "ok")})): 567,
            ("recsys_consumer_lag_records", frozenset({("topic", "events")})): 42,
            (
                "recsys_freshness_seconds_bucket",
                frozenset({("path", "user"), ("le", "0.01")}),
            ): 100,
            (
                "recsys_freshness_seconds_bucket",
                frozenset({("path", "user"), ("le", "+Inf")}),
            ): 100,
            (
                "recsys_model_info",
                frozenset({("kind", "transformer"), ("digest", "0123456789abcdef")}),
            ): 1,
        }
    )


def a_report() -> Report:
    some = Interval(value=0.25, low=0.2, high=0.3)
    return Report(
        control_views=100,
        treated_views=110,
        control=some,
        treated=Interval(value=0.5, low=0.4, high=0.6),
        uplift=some,
        random=some,
        popular=some,
        oracle=some,
        gap_closed=some,
        gap_closed_paired=Interval(value=0.75, low=0.7, high=0.8),
        uplift_paired=some,
    )


def list_of(*items: tuple[str, str | None]) -> RecommendationList:
    return RecommendationList(
        user_id=UserId("demo-reader"),
        list_id="0-7",
        items=tuple(
            RecommendedItem(
                item_id=ItemId(item_id),
                score=1.0,
                source="covisitation" if reason else "trending",
                reason=None if reason is None else ItemId(reason),
                position=place,
                propensity=1.0,
            )
            for place, (item_id, reason) in enumerate(items, start=1)
        ),
        as_of=AsOf(partition=0, offset=7),
        now_ms=1,
        computed_at_ms=1,
        models=ModelVersions(online=1, items="", config=""),
    )


CHANGE = Change(
    before=list_of(("tent", None), ("stove", None), ("[/rope]", None)),
    after=list_of(("lamp", "tent"), ("tent", None), ("[/rope]", None)),
    clicked="stove",
    waited_ms=12.4,
)


def shown(phase: Phase = "live", *, change: Change | None = None, report: bool = True) -> str:
    screen = Screen(Console())
    progress = Progress(
        phase=phase, fraction=0.5, num_events=9876, report=a_report() if report else None
    )
    screen.show(progress, counted(), counted(), change)
    return text(screen)


def test_a_screen_begins_without_figures() -> None:
    assert text(Screen(Console())).strip() == "starting"


def test_the_live_picture_has_the_stream_and_both_halves() -> None:
    picture = shown()

    for figure in ("9,876", "1,234", "42 events", "p50 5 ms, p99 10 ms", "01234567"):
        assert figure in picture
    assert "0.5000 [0.4000, 0.6000]" in picture
    assert "0.7500 [0.7000, 0.8000]" in picture


def test_click_quality_is_normalised_entropy_and_calibration() -> None:
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))

    assert f"normalised entropy {0.3 / entropy:.3f}, calibration 1.20" in shown()


@pytest.mark.parametrize("phase", ["backfill", "waiting"])
def test_before_it_is_live_no_click_rates_are_shown(phase: Phase) -> None:
    picture = shown(phase, report=False)

    assert "CTR" not in picture
    assert {"backfill": "replaying", "waiting": "first transformer"}[phase] in picture


def test_what_was_not_counted_is_a_dash() -> None:
    screen = Screen(Console())
    screen.show(Progress(phase="backfill", fraction=0, num_events=0), NOTHING, NOTHING, None)
    lines = {line.split("  ")[0]: line for line in text(screen).splitlines()}

    assert lines["freshness"].split()[1] == "-"
    assert lines["p(click)"].split()[1] == "-"
    assert lines["transformer"].endswith("none yet")


def test_a_click_is_shown_with_what_moved_and_why() -> None:
    table = text(change_table(CHANGE))

    assert "a click on stove" in table
    assert "12 ms after Kafka had acknowledged" in table
    first, second, third = (line for line in table.splitlines() if line.strip()[:1] == "│")
    assert "lamp (new)" in first
    assert "covisitation: after tent" in first
    assert "tent (was 1)" in second
    assert "[/rope] (was 3)" in third
    assert "a click on stove" in shown(change=CHANGE)


def test_the_summary_is_of_the_live_phase_and_names_the_transformer() -> None:
    outcome = Outcome(
        settings=Settings(),
        report=a_report(),
        figures=Marginals(
            num_opens=1,
            num_users=1,
            num_items=1,
            item_gini=0.0,
            top_10_share=1.0,
            opens_per_session=1.0,
            session_quantiles=NO_QUANTILES,
            repeat_share=0.0,
            gap_quantiles_s=NO_QUANTILES,
            pair_lift=1.0,
        ),
        num_events=1,
        num_personal=11,
        num_popular=22,
        num_missing=33,
    )
    told = text(summary(outcome, counted(), counted(), CHANGE))

    for part in ("1,234", "567", "01234567", "lamp (new)", "lists read: 11 of the shopper"):
        assert part in told
