"""A promoted bundle that loses on live traffic is rolled back by a running learner and worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.stack.broker import KafkaBroker
from models.bundle import Bundle
from models.encoder import BUNDLE_KIND
from streams.announcements import Decision
from streams.examples import ExamplesRecord
from streams.model_registry import ModelRegistry
from tests.integration.learners import LAYOUT, produce_records, running_learner
from tests.integration.roles import until
from tests.streams.bundles import small_bundle
from tests.streams.example_logs import START_MS, action, record_of, rivals

pytestmark = pytest.mark.integration
NUM_USERS = 60
ROLLED_BACK = 'recsys_model_gate_decisions_total{decision="live_rollback"}'
COMPARED = "recsys_model_compared_actions_total"


def traffic(current: Bundle, challenger: Bundle, *, from_offset: int) -> list[ExamplesRecord]:
    """Each user acts on what only the challenger's list held, or held higher."""
    records = []
    for number in range(NUM_USERS):
        at_ms, user = START_MS + 1_000 * number, f"u{number}"
        lists = (["a", "b"] if number % 3 else ["a", "c"], ["b", "a"])
        other = challenger.digest[:8]
        events = [
            rivals(user, lists, at_ms, challenger=other),
            action(user, "b", at_ms + 500),
        ]
        offset = from_offset + 2 * number
        records.append(record_of(events, offset, layout=LAYOUT, bundle=current.digest[:8]))
    return records


def test_a_bundle_promoted_by_hand_that_loses_is_rolled_back(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    registry = ModelRegistry(folder, [kafka.bootstrap], f"{topics}models")
    good, bad = (
        small_bundle(folder / f"{BUNDLE_KIND}-{n}", ["a", "b", "c"], seed=n) for n in (1, 2)
    )
    registry.promote(BUNDLE_KIND, good.digest, reason="the first")
    registry.promote(BUNDLE_KIND, bad.digest, reason="by force")
    with running_learner(
        tmp_path,
        kafka=kafka.bootstrap,
        redis_url=redis_url,
        prefix=topics,
        gate__min_compared=40,
        gate__max_compared=80,
    ) as learner:
        offset = 0

        def goes_back() -> bool:
            # What comes before the learner has heard of the bundles does not count.
            nonlocal offset
            records = traffic(bad, good, from_offset=offset)
            offset += 2 * NUM_USERS
            produce_records(kafka.bootstrap, f"{topics}examples", records)
            return learner.metric(ROLLED_BACK) == 1

        until(goes_back, what=f"a rollback\n{learner.log()}")
        assert learner.metric(COMPARED) >= NUM_USERS
    current = registry.current(BUNDLE_KIND)
    assert current is not None
    assert (current.digest, current.decision) == (good.digest, Decision.LIVE_ROLLBACK)
    (refused,) = (
        entry.decided
        for entry in registry.bundles(BUNDLE_KIND)
        if entry.bundle is not None and entry.bundle.digest == bad.digest
    )
    assert refused is not None
    assert refused.decision is Decision.REFUSED
    assert "live actions: difference -" in refused.reason
