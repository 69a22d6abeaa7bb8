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

from featurestore.bins import Ints, bucket, log_bins, percentiles, steps
from featurestore.feature_layout import (
    CLASSES,
    OFFSETS,
    POSITIONS,
    VOLUMES,
    FeatureConfig,
    FeatureLayout,
)
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
        log_bins(standing.seconds_back + 1, 15),
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
    ]
    shares = _percentiles(slates)
    num_numeric = len(layout.config.numeric)
    for at in range(num_numeric):
        columns += [
            shares[at] * NUM_ACTIONS + last_action,
            _to_interacted(slates.numeric[:, at], situation) * 2 + situation.acted,
        ]
    columns += [buckets_B[owners] * CLASSES + class_ for buckets_B in _buckets(layout, slates)]
    for at in range(len(layout.source_names)):
        columns += [measured[3 + at], shares[num_numeric + at]]
    return columns


def _examination(layout: FeatureLayout, slates: SlatesInput, situation: _Situation) -> list[Ints]:
    """Of the items that were shown."""
    standing = situation.standing
    wide = slates.positions.astype(np.int64)
    position = np.minimum(wide, POSITIONS - 1)
    owners = situation.owners[: len(wide)]
    last = np.flatnonzero(standing.is_last[: len(wide)])[::-1]
    last_position_B = np.zeros(slates.num_slates, np.int64)
    # Written backwards, the first of several stays.
    last_position_B[owners[last]] = wide[last]
    offset = np.where(
        situation.has_last_B[owners],
        np.clip(wide - last_position_B[owners], -13, 13) + OFFSETS // 2,
        0,
    )
    slate_situation_B = situation.has_last_B * NUM_ACTIONS + standing.last_action
    return [
        position,
        position * 6 + np.minimum(situation.num_interacted_B, 5)[owners],
        position * CLASSES + situation.class_[: len(wide)],
        position * 2 * NUM_ACTIONS + slate_situation_B[owners],
        position * 5 + np.minimum(standing.session_num_clicks, 4)[owners],
        offset,
        offset * NUM_ACTIONS + standing.last_action[owners],
        *(
            position * layout.config.context_buckets + buckets_B[owners]
            for buckets_B in _buckets(layout, slates)
        ),
    ]


def _stacked(columns: Sequence[Ints], offsets: Ints) -> Indices:
    stacked = np.empty((len(columns), len(columns[0])), np.int32)
    for row, column in enumerate(columns):
        stacked[row] = column
    stacked += offsets[:, None].astype(np.int32)
    return np.ascontiguousarray(stacked.T)


def _buckets(layout: FeatureLayout, slates: SlatesInput) -> list[Ints]:
    """The bucket of each slate's value, int64[B], by context name."""
    num_buckets = layout.config.context_buckets
    return [
        np.array([bucket(name, context.get(name), num_buckets) for context in slates.contexts])
        for name in layout.config.context
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


def _percentiles(slates: SlatesInput) -> Ints:
    """Bin each item by the share of its slate's others that are below it, for every number."""
    values = np.concatenate((slates.numeric.T, slates.source_scores.T))
    if not values.size:
        return np.empty(values.shape, np.int64)
    # Apart, or what was shown would be padded to as many items as there are candidates.
    num_shown = len(slates.positions)
    num_slates = int(slates.starts.searchsorted(num_shown))
    return np.concatenate(
        (
            _slate_percentiles(values[:, :num_shown], slates.sizes[:num_slates]),
            _slate_percentiles(values[:, num_shown:], slates.sizes[num_slates:]),
        ),
        axis=1,
    )


def _slate_percentiles(values: npt.NDArray[np.float32], sizes: Ints) -> Ints:
    if not values.size:
        return np.empty(values.shape, np.int64)
    # What a slate is shorter than the longest is missing, and missing values count for nothing.
    num_slates, longest = len(sizes), int(sizes.max())
    padded = np.full((len(values), num_slates * longest), np.nan, values.dtype)
    padding_before = np.arange(num_slates) * longest - (sizes.cumsum() - sizes)
    places = np.arange(values.shape[1]) + np.repeat(padding_before, sizes)
    padded[:, places] = values
    bins = percentiles(padded.reshape(len(values), num_slates, longest))
    return bins.reshape(padded.shape)[:, places]


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


def _to_interacted(values: npt.NDArray[np.float32], situation: _Situation) -> Ints:
    """Bin the log-ratio to the mean of the slate's interacted items; 0 is no such, 19 NaN."""
    owners, num_slates = situation.owners, len(situation.has_last_B)
    references = np.flatnonzero(situation.acted & (values > 0))
    if not len(references):
        return np.zeros(len(values), np.int64)
    logs = np.log(np.where(values > 0, values, np.nan).astype(np.float64))
    num_B = np.bincount(owners[references], minlength=num_slates)
    sum_B = np.bincount(owners[references], weights=logs[references], minlength=num_slates)
    ratios = logs - (sum_B / np.maximum(num_B, 1))[owners]
    bins: Ints = steps(ratios[None], step=_RATIO_STEP, low=_RATIO_LOW, num_bins=_RATIO_BINS)[0]
    return np.where(num_B[owners] > 0, bins + 1, 0)


_RATIO_STEP: Final = np.array([1 / 6])
_RATIO_LOW: Final = np.array([-1.5])
_RATIO_BINS: Final = np.array([18])
