from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np

from streams.examples import ActionRow, ImpressionRow
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import Attribution, ClosedSlate, ShownSlate
from streams.sections import AttributionConfig

P0, P1 = ("t", 0), ("t", 1)
WINDOW_MS = 1_000
CONFIG = AttributionConfig(window_ms=WINDOW_MS)


class Log:
    """Drives an attribution as the learner does: expire first, then show or act."""

    def __init__(self, config: AttributionConfig = CONFIG) -> None:
        self.attribution = Attribution(config)
        self._offsets = count()

    def show(
        self,
        items: str,
        ts_ms: int = 0,
        *,
        user: str = "u",
        request: str = "",
        list_id: str = "",
        partition: tuple[str, int] = P0,
    ) -> list[ClosedSlate]:
        row = ImpressionRow(
            offset=0,
            ts_ms=ts_ms,
            user_id=user,
            request_id=request,
            list_id=list_id,
            items=list(range(len(items))),
            positions=list(range(len(items))),
            relevance=b"",
            examination=b"",
        )
        slate = ShownSlate(
            partition=partition,
            record_offset=next(self._offsets),
            shown_at_ms=ts_ms,
            deadline_ms=ts_ms + WINDOW_MS,
            row=row,
            items=tuple(items),
        )
        return self.attribution.expire(partition, ts_ms) + self.attribution.show(slate)

    def click(
        self,
        item: str,
        ts_ms: int,
        *,
        user: str = "u",
        request: str = "",
        list_id: str = "",
        partition: tuple[str, int] = P0,
        value: float | None = None,
    ) -> tuple[JoinOutcome, list[ClosedSlate]]:
        action = ActionRow(
            offset=0,
            ts_ms=ts_ms,
            user_id=user,
            item=0,
            action_code=1,
            weight=1.0,
            is_label=True,
            request_id=request,
            list_id=list_id,
            previous=b"",
            value=value,
        )
        closed = self.attribution.expire(partition, ts_ms)
        outcome, answered = self.attribution.act(partition, action, item, ts_ms, ts_ms)
        return outcome, closed + ([answered] if answered else [])


def test_click_closes_its_slate_whole() -> None:
    log = Log()
    log.show("abc", request="r")
    outcome, [closed] = log.click("b", 10, request="r")

    assert outcome is JoinOutcome.JOINED
    assert (closed.outcome, closed.clicked) == (JoinOutcome.JOINED, (1,))
    assert closed.first_click_delay_ms == 10
    assert log.attribution.num_open == 0


def test_second_click_on_a_slate_is_late() -> None:
    log = Log()
    log.show("abc", request="r")
    log.click("b", 10, request="r")

    assert log.click("c", 20, request="r") == (JoinOutcome.LATE, [])


def test_slate_stays_open_after_a_click_where_configured() -> None:
    log = Log(replace(CONFIG, after_click_ms=100))
    log.show("abc", request="r")

    assert log.click("c", 10, request="r") == (JoinOutcome.JOINED, [])
    assert log.click("a", 110, request="r") == (JoinOutcome.JOINED, [])
    [closed] = log.attribution.expire(P0, 111)
    assert (closed.outcome, closed.clicked) == (JoinOutcome.JOINED, (0, 2))


def test_an_item_is_watched_as_long_as_its_label_actions_say() -> None:
    log = Log(replace(CONFIG, after_click_ms=100))
    log.show("abcd", request="r")
    log.click("c", 10, request="r")
    log.click("c", 40, request="r", value=30.0)
    log.click("c", 90, request="r", value=12.5)
    log.click("a", 90, request="r", value=0.0)
    log.click("d", 95, request="r")

    [closed] = log.attribution.expire(P0, 111)
    assert closed.clicked == (0, 2, 3)
    np.testing.assert_array_equal(closed.watch_times(), [0.0, np.nan, 42.5, np.nan])


def test_unclicked_slate_closes_when_its_window_has_ended() -> None:
    log = Log()
    log.show("abc", request="r")

    assert log.attribution.expire(P0, WINDOW_MS) == []
    [closed] = log.attribution.expire(P0, WINDOW_MS + 1)
    assert (closed.outcome, closed.clicked) == (JoinOutcome.TIMEOUT, ())


def test_late_click_does_not_relabel() -> None:
    log = Log()
    log.show("abc", request="r")
    outcome, [closed] = log.click("b", WINDOW_MS + 1, request="r")

    assert outcome is JoinOutcome.LATE
    assert (closed.outcome, closed.clicked) == (JoinOutcome.TIMEOUT, ())


def test_time_of_another_partition_closes_nothing() -> None:
    log = Log()
    log.show("abc", user="u", request="r", partition=P0)
    log.show("abc", 50 * WINDOW_MS, user="v", request="r", partition=P1)

    assert log.attribution.num_open == 2


def test_closed_slate_is_forgotten_one_window_later() -> None:
    log = Log()
    log.show("abc", request="r")
    outcome, _ = log.click("b", 2 * WINDOW_MS + 1, request="r")

    assert outcome is JoinOutcome.ORPHAN_CLICK


def test_request_id_decides_even_when_the_list_id_would_match() -> None:
    log = Log()
    log.show("abc", request="r1", list_id="l")

    assert log.click("b", 1, request="other", list_id="l") == (JoinOutcome.ORPHAN_CLICK, [])
    outcome, [closed] = log.click("b", 2, list_id="l")
    assert (outcome, closed.clicked) == (JoinOutcome.JOINED, (1,))


def test_pages_of_one_request_are_told_apart_by_their_items() -> None:
    log = Log()
    log.show("abc", request="r")
    log.show("def", request="r")
    _, [closed] = log.click("b", 1, request="r")

    assert closed.slate.items == ("a", "b", "c")


def test_click_without_identifiers_counts_for_the_latest_slate_only() -> None:
    log = Log()
    log.show("abc")
    log.show("def")

    assert log.click("b", 1) == (JoinOutcome.ORPHAN_CLICK, [])
    outcome, [closed] = log.click("e", 2)
    assert (outcome, closed.slate.items) == (JoinOutcome.JOINED, ("d", "e", "f"))


def test_another_users_click_never_matches() -> None:
    log = Log()
    log.show("abc", request="r")

    assert log.click("b", 1, user="v", request="r") == (JoinOutcome.ORPHAN_CLICK, [])
    assert log.click("b", 1, user="v") == (JoinOutcome.ORPHAN_CLICK, [])


def test_click_on_an_item_that_was_not_shown_is_an_orphan() -> None:
    log = Log()
    log.show("abc", request="r")

    assert log.click("z", 1, request="r") == (JoinOutcome.ORPHAN_CLICK, [])
    assert log.attribution.num_open == 1


def test_evicted_slate_is_closed_but_not_called_a_timeout() -> None:
    log = Log(replace(CONFIG, max_open_slates=1))
    log.show("abc", request="r1")
    [closed] = log.show("def", request="r2")

    assert (closed.outcome, closed.slate.row.request_id) == (JoinOutcome.EVICTED, "r1")
    assert log.click("a", 1, request="r1") == (JoinOutcome.LATE, [])


def test_memory_of_closed_slates_is_capped() -> None:
    log = Log(replace(CONFIG, max_open_slates_per_partition=2))
    for n in range(6):
        log.show("ab", request=f"r{n}")

    assert log.click("a", 1, request="r1")[0] is JoinOutcome.ORPHAN_CLICK
    assert log.click("a", 1, request="r2")[0] is JoinOutcome.LATE
    assert log.click("a", 1, request="r4")[0] is JoinOutcome.JOINED


def test_end_of_a_file_closes_everything() -> None:
    log = Log(replace(CONFIG, after_click_ms=500))
    log.show("abc", request="r1")
    log.show("def", request="r2")
    log.click("a", 1, request="r1")

    assert [(closed.outcome, closed.clicked) for closed in log.attribution.flush()] == [
        (JoinOutcome.JOINED, (0,)),
        (JoinOutcome.TIMEOUT, ()),
    ]
