"""Does a real log, replayed flat out, leave the states that folding its file would?"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.stack.broker import KafkaBroker
from featurestore.events import Action, Event, UserId
from featurestore.fold import fold
from featurestore.state import EMPTY_STATE, UserState
from streams.convert.globo import globo_events
from streams.role_figures import read_figures
from tests.chaos.scale import SCALE, scaled
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.roles import running_learner, running_worker, until
from tests.integration.stream_checks import RULES, assert_states_equal, produce

LOG = Path("../shared/data/globo_clicks_first4days.parquet")
NUM_CLICKS = scaled(4_000)
"""HEADRACE_TEST_SCALE=50 replays the 200,000 that the requirement names."""


def first_clicks(num_clicks: int) -> list[Event]:
    """The log up to that click, the visits between the clicks included."""
    events: list[Event] = []
    for event in globo_events(LOG):
        events.append(event)
        num_clicks -= isinstance(event, Action)
        if not num_clicks:
            break
    return events


@pytest.mark.slow
@pytest.mark.skipif(not LOG.exists(), reason="needs the Globo log in ../shared/data")
def test_every_state_is_the_fold_of_the_file(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events = first_clicks(NUM_CLICKS)
    broker = kafka.bootstrap
    with (
        running_worker(tmp_path, kafka=broker, redis_url=redis_url, prefix=topics) as worker,
        running_learner(tmp_path, kafka=broker, redis_url=redis_url, prefix=topics),
    ):
        produce(kafka.bootstrap, f"{topics}events", events)
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") >= len(events),
            what=f"all events processed\n{worker.log()}",
            deadline_s=120 * max(1.0, SCALE / 10),
        )
        figures = read_figures([f"127.0.0.1:{worker.metrics_port}"])

    by_outcome = [
        figures.total("recsys_events_total", topic="events", outcome=outcome)
        for outcome in ("ok", "late", "invalid", "duplicate")
    ]
    assert sum(by_outcome) == len(events)
    states: dict[UserId, UserState] = {}
    for event in events:
        states[event.user_id] = fold(states.get(event.user_id, EMPTY_STATE), event, RULES).state
    assert_states_equal(redis_url, f"{topics}events", NUM_PARTITIONS, states)
