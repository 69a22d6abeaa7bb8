"""What the online models learn, and from which rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from streams.join_outcome import JoinOutcome
from streams.learner.fold import LearnEffects
from streams.learner.next_slates import NextOutcome
from tests.streams.example_logs import (
    CONFIG,
    END,
    START_MS,
    action,
    free_choice,
    impression,
    new_fold,
    new_online,
    record_of,
    slate,
    visit,
)


def test_evicted_slates_are_not_learned() -> None:
    config = replace(CONFIG, max_open_slates=1)
    untouched = new_online()
    new_fold(untouched, config).fold(record_of([visit("u", START_MS)], 0), 0)
    online = new_online()
    fold = new_fold(online, config)
    events = [impression("u", ["a"], START_MS, request=f"r{n}") for n in range(2)]
    effects = fold.fold(record_of(events, 0), 0)

    assert effects.joins == Counter({JoinOutcome.EVICTED: 1})
    assert online.click.table.columns["n"].values.any() == np.False_


def test_the_re_ranker_learns_which_shown_item_was_clicked_where_it_stood() -> None:
    online = new_online()
    fold = new_fold(online)
    events = [
        impression("u", ["a", "b", "c"], START_MS, request="r"),
        impression("v", ["a", "b", "c"], START_MS),
        action("u", "c", START_MS + 9, request="r"),
        visit("w", START_MS + 60_001),
    ]
    fold.fold(record_of(events, 0), 0)

    assert online.reranker.num_slates == 1, "a slate without a click says nothing of the order"
    assert online.reranker.examination[3] > -np.log(3)


def test_candidates_teach_nothing_where_the_action_answered_what_was_shown() -> None:
    online = new_online()
    fold = new_fold(online)
    events = [
        slate("u", ["a", "b"], START_MS),
        impression("u", ["a", "b"], START_MS, request="r"),
        action("u", "b", START_MS + 1, request="r"),
    ]
    effects = fold.fold(record_of(events, 0), 0)

    assert effects.next_joins == Counter({NextOutcome.UNUSED: 1})
    assert online.reranker.num_slates == 1


def test_what_one_user_repeats_counts_no_more() -> None:
    once, robot = new_online(), new_online()
    effects = LearnEffects()
    for online, num in ((once, 1), (robot, 50)):
        fold = new_fold(online)
        for number in range(num):
            request, is_new = f"r{number}", number == 0
            uncounted = [] if is_new else [0, 1]
            events = [
                impression("u", ["a", "b"], START_MS, request=request, uncounted=uncounted),
                slate("u", ["a", "b"], START_MS),
                action("u", "a", START_MS, request=request, is_counted=is_new),
            ]
            effects = fold.fold(record_of(events, 3 * number), number)
        online.advance(END)

    assert effects.joins == Counter({JoinOutcome.REPEATED: 1})
    assert effects.closed[0].slate.predicted is not None, "it is judged all the same"
    assert robot.snapshot() == once.snapshot()


def test_candidates_teach_nothing_where_the_action_counts_no_more() -> None:
    online = new_online()
    events = [slate("u", ["a", "b"], START_MS), action("u", "b", START_MS + 1, is_counted=False)]
    effects = new_fold(online).fold(record_of(events, 0), 0)

    assert effects.next_joins == Counter({NextOutcome.UNUSED: 1})
    assert online.reranker.num_slates == 0


def test_the_re_ranker_learns_which_candidate_was_chosen() -> None:
    online = new_online()
    fold = new_fold(online)
    events = [
        slate("u", ["a", "b"], START_MS),
        action("u", "b", START_MS + 1),
        slate("u", ["a", "b"], START_MS + 2),
        action("u", "z", START_MS + 3),
    ]
    effects = fold.fold(record_of(events, 0), 0)

    assert effects.next_joins == Counter({NextOutcome.JOINED: 1, NextOutcome.RECALL_MISS: 1})
    assert online.reranker.num_slates == 1


def test_the_choice_head_learns_at_once_what_was_done_and_with_its_answer_what_was_shown() -> None:
    online = new_online()
    assert online.choice is not None
    fold = new_fold(online)
    moved = online.choice.table.columns["moved"].values

    fold.fold(record_of([free_choice("ann", START_MS, features=1)], 0), 0)
    after_choice = moved.copy()
    assert np.count_nonzero(after_choice)

    fold.fold(record_of([impression("ann", ["i1", "i2"], START_MS, request="r")], 1), 1)
    assert moved.tolist() == after_choice.tolist()
    fold.fold(record_of([action("ann", "i1", START_MS + 1, request="r")], 2), 2)
    assert moved.tolist() != after_choice.tolist()


def test_action_without_weight_makes_its_item_known_and_counts_nothing() -> None:
    online = new_online()
    fold = new_fold(online)
    fold.fold(record_of([action("u", "a", START_MS, weight=0.0, is_label=False)], 0), 0)

    assert len(online.vocabulary) == 1
    assert online.popularity.largest(10).tolist() == []
