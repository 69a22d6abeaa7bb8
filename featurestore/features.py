"""What p(click) sees of a candidate: the one feature function, for training and serving alike.

Every feature is one-hot: a template with a number of bins, of which a candidate is in exactly one.
So a row of the feature matrix is a row of indices into the weights. `relevance` is what ranking
uses; `examination` is what only the place on the page explains and is never asked for at serving.

Shape letters: N items of B slates; columns are int64[N].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.bins import Ints, bucket, log_bins, steps
from featurestore.feature_layout import (
    CLASSES,
    DWELLS,
    OFFSETS,
    POSITIONS,
    RANKS,
    VOLUMES,
    FeatureConfig,
    FeatureLayout,
)
from featurestore.numbers import lowest_above, percentile_bins, rank_bins, ratio_bins
from featurestore.slates import SlateInput, SlatesInput
from featurestore.standing import NUM_ACTIONS, Standing, standing_of
from featurestore.state import UserState

__all__ = [
    "FeatureConfig",
    "FeatureLayout",
    "SlateFeatures",
    "SlateInput",
    "SlatesInput",
    "slate_features",
    "slates_features",
]

Indices = npt.NDArray[np.int32]

_RECENT_STEPS: Final = 4
_NO_CATEGORY: Final = 6
"""The bin of a category share where the item has no category."""


class SlateFeatures(NamedTuple):
    """Indices into the weights: int32[N, R], and int32[M, E] of the first M items, those shown."""

    relevance: Indices
    examination: Indices

    def parts(self, sizes: Sequence[int]) -> list["SlateFeatures"]:
        """Those of each of the slates that were shown, of so many items."""
        ends = list(accumulate(sizes))
        return [
            SlateFeatures(self.relevance[end - size : end], self.examination[end - size : end])
            for size, end in zip(sizes, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Situation:
    """What the templates share: the standing, and what of it concerns each slate as a whole."""

    standing: Standing
    owners: Ints
    acted: npt.NDArray[np.bool_]
    class_: Ints
    num_interacted_B: Ints
    has_last_B: npt.NDArray[np.bool_]


def slate_features(layout: FeatureLayout, state: UserState, slate: SlateInput) -> SlateFeatures:
    """Return the features of one slate's items for the user in `state`; see `slates_features`."""
    return slates_features(layout, [state], SlatesInput.of_one(slate))


def slates_features(
    layout: FeatureLayout, states: Sequence[UserState], slates: SlatesInput
) -> SlateFeatures:
    """Return the features of the items of B slates, each for its own user.

    A pure function of its arguments, without a clock: times count back from the user's last
    action. Of relevance only the columns named slate, percentile and to_interacted depend on
    which other items stand in the slate; none depends on other slates.

    Args:
        layout: which index means what.
        states: of the users, just before the impression or at the list's computation.
        slates: N candidates in all.
    """
    situation = _situation(layout, states, slates)
    relevance = _relevance(layout, states, slates, situation)
    examination = _examination(layout, slates, situation)
    num_relevance, offsets = layout.relevance_width, layout.offsets
    return SlateFeatures(
        _stacked(relevance, offsets[:num_relevance]),
        _stacked(examination, offsets[num_relevance:-1]),
    )


def _situation(
    layout: FeatureLayout, states: Sequence[UserState], slates: SlatesInput
) -> _Situation:
    standing = standing_of(states, slates.keys, slates.sizes, layout.is_click)
    owners = slates.owners
    acted = standing.num_in_session > 0
    recently = acted & (standing.steps_back <= _RECENT_STEPS)
    num_slates = slates.num_slates
    return _Situation(
        standing=standing,
        owners=owners,
        acted=acted,
        # 0 untouched, 1 touched in the session, 2 recently, 3 the last item touched.
        class_=np.where(standing.is_last, 3, acted.astype(np.int64) + recently),
        num_interacted_B=np.bincount(owners[acted], minlength=num_slates),
        has_last_B=np.bincount(owners[standing.is_last], minlength=num_slates) > 0,
    )


def _relevance(
    layout: FeatureLayout,
    states: Sequence[UserState],
    slates: SlatesInput,
    situation: _Situation,
) -> list[Ints]:
    standing, class_, owners = situation.standing, situation.class_, situation.owners
    last_action = standing.last_action[owners]
    session_clicks = np.minimum(standing.session_num_clicks, 7)[owners]
    slate_situation = (situation.has_last_B * NUM_ACTIONS + standing.last_action) * 4 + np.minimum(
        situation.num_interacted_B, 3
    )
    session_step = np.minimum(np.frexp(standing.session_num_actions)[1], 8)
    touched = np.where(standing.is_last, 2, situation.acted)
    measured = _measured(layout, slates)
    columns = [
        log_bins(standing.seconds_back + 1, 15) * CLASSES + class_,
        log_bins(standing.steps_back + 1, 8) * NUM_ACTIONS + standing.action,
        np.minimum(standing.num_in_session, 7),
        (np.minimum(standing.num_clicks, 2) * 3 + touched) * 8 + session_clicks,
        (slate_situation * CLASSES)[owners] + class_,
        (session_step * CLASSES)[owners] + class_,
        _before(states, slates, standing),
        np.minimum(_shown_counts(states, slates), 7),
        # How high the click rate is, crossed with how much it rests on.
        measured[0] * VOLUMES + measured[1],
        measured[2],
        _category_shares(slates),
        standing.touches * NUM_ACTIONS + last_action,
        log_bins(standing.dwell_s, DWELLS) * CLASSES + class_,
    ]
    shares = percentile_bins(slates)
    num_numeric = len(layout.config.numeric)
    clicked = standing.num_clicks > 0
    for at in range(num_numeric):
        values = slates.numeric[:, at]
        columns += [
            shares[at] * NUM_ACTIONS + last_action,
            rank_bins(values, slates.sizes, RANKS),
            ratio_bins(values, situation.acted, slates) * 2 + situation.acted,
            ratio_bins(values, clicked, slates) * 2 + situation.acted,
        ]
    columns += [
        buckets_B[owners] * CLASSES + class_
        for buckets_B in _buckets(layout, layout.config.context, slates)
    ]
    for at in range(len(layout.source_names)):
        columns += [measured[3 + at], shares[num_numeric + at]]
    return columns


def _examination(layout: FeatureLayout, slates: SlatesInput, situation: _Situation) -> list[Ints]:
    """Of the items that were shown."""
    standing = situation.standing
    wide = slates.positions.astype(np.int64)
    num = len(wide)
    position = np.minimum(wide, POSITIONS - 1)
    owners, class_ = situation.owners[:num], situation.class_[:num]
    acted = situation.acted[:num]
    touched_B = _position_of_last(wide, np.where(acted, standing.steps_back[:num], -1), owners)
    lowest_B = np.zeros(slates.num_slates, np.int64)
    np.maximum.at(lowest_B, owners[acted], wide[acted])
    to_last, to_touched, to_lowest, to_clicked = (
        _offsets(wide, position_B[owners])
        for position_B in (
            _position_of_last(wide, standing.is_last[:num] - 1, owners),
            touched_B,
            lowest_B,
            _position_of_last(wide, standing.is_last_clicked[:num] - 1, owners),
        )
    )
    slate_situation_B = situation.has_last_B * NUM_ACTIONS + standing.last_action
    clicks = np.minimum(standing.num_clicks[:num], 2)
    return [
        position,
        position * CLASSES + class_,
        position * 2 * NUM_ACTIONS + slate_situation_B[owners],
        position * POSITIONS + np.minimum(touched_B, POSITIONS - 1)[owners],
        to_last,
        (to_touched * 2 + situation.has_last_B[owners]) * 3 + clicks,
        to_lowest,
        to_clicked,
        *(
            lowest_above(slates.numeric[:num, at], wide, slates.sizes) * CLASSES + class_
            for at in range(len(layout.config.numeric))
        ),
        *(
            position * layout.config.context_buckets + buckets_B[owners]
            for buckets_B in _buckets(layout, layout.config.position_context, slates)
        ),
    ]


def _position_of_last(positions: Ints, steps_back: Ints, owners: Ints) -> Ints:
    """Where the item stands in each slate that was touched last, 0 if none was.

    Args:
        positions: int64[M], from 1.
        steps_back: int64[M], since each item was touched; below 0 for never.
        owners: int64[M], the slates, ascending.
    """
    position_B = np.zeros(owners[-1] + 1 if len(owners) else 0, np.int64)
    touched = np.flatnonzero(steps_back >= 0)
    # Written from the longest ago to the latest, and of equals the first in the slate last.
    order = touched[np.lexsort((-positions[touched], -steps_back[touched]))]
    position_B[owners[order]] = positions[order]
    return position_B


def _offsets(positions: Ints, from_: Ints) -> Ints:
    """Bin how far below or above a position others are; 0 where there is none."""
    return np.where(from_ > 0, np.clip(positions - from_, -13, 13) + OFFSETS // 2, 0)


def _stacked(columns: Sequence[Ints], offsets: Ints) -> Indices:
    stacked = np.empty((len(columns), len(columns[0])), np.int32)
    for row, column in enumerate(columns):
        stacked[row] = column
    stacked += offsets[:, None].astype(np.int32)
    return np.ascontiguousarray(stacked.T)


def _buckets(layout: FeatureLayout, names: Sequence[str], slates: SlatesInput) -> list[Ints]:
    """The bucket of each slate's value, int64[B], by context name."""
    num_buckets = layout.config.context_buckets
    return [
        np.array([bucket(name, context.get(name), num_buckets) for context in slates.contexts])
        for name in names
    ]


def _before(states: Sequence[UserState], slates: SlatesInput, standing: Standing) -> Ints:
    """Actions before the session, 0 to 3 and more; 4 for an item that is only known as seen."""
    before = np.minimum(standing.num_before, 3)
    starts = slates.starts.tolist()
    for state, start, end in zip(states, starts, starts[1:], strict=False):
        if state.seen_keys:
            untouched = (before[start:end] == 0) & (standing.num_in_session[start:end] == 0)
            only_seen = untouched & state.acted_mask(slates.keys[start:end])
            before[start:end][only_seen] = 4
    return before


def _shown_counts(states: Sequence[UserState], slates: SlatesInput) -> Ints:
    counts = np.zeros(len(slates.keys), np.int64)
    starts = slates.starts.tolist()
    for state, start, end in zip(states, starts, starts[1:], strict=False):
        if state.shown:
            counts[start:end] = state.shown_counts(slates.keys[start:end])
    return counts


def _measured(layout: FeatureLayout, slates: SlatesInput) -> Ints:
    """Bin what has a scale of its own: click rate, its volume, age, and the sources' scores."""
    values = np.empty((3 + len(layout.source_names), len(slates.keys)), np.float64)
    values[0] = slates.statistics[:, 1]
    values[1] = np.nan_to_num(slates.statistics[:, 0])
    values[2] = np.log2(1 + slates.ages_s / 60)
    values[3:] = slates.source_scores.T
    step, low, num_bins = layout.scales
    return steps(values, step=step, low=low, num_bins=num_bins)


def _category_shares(slates: SlatesInput) -> Ints:
    """Bin the share of the user's last actions that were in the item's category; 6 is none."""
    num_recent_B = np.array([len(recent) for recent in slates.recent_categories], np.int64)
    users = np.repeat(np.arange(slates.num_slates), num_recent_B)
    recent = np.concatenate(slates.recent_categories) if users.size else np.empty(0, np.int32)
    width = 1 + max(int(recent.max(initial=0)), int(slates.categories.max(initial=0)))
    known = recent >= 0
    counts = np.bincount(users[known] * width + recent[known], minlength=slates.num_slates * width)
    of_items = counts[slates.owners * width + np.maximum(slates.categories, 0)]
    shares = of_items / np.maximum(num_recent_B, 1)[slates.owners]
    return np.where(slates.categories < 0, _NO_CATEGORY, np.ceil(shares * 5)).astype(np.int64)
