"""What p(click) sees of a candidate: the one feature function, for training and serving alike.

Every feature is one-hot: a template with a number of bins, of which a candidate is in exactly one.
So a row of the feature matrix is a row of indices into the weights. `relevance` is what ranking
uses; `examination` is what only the place on the page explains and is never asked for at serving.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.bins import Ints, Scalar, bucket, log_bins, percentiles, steps
from featurestore.feature_layout import (
    CLASSES,
    OFFSETS,
    POSITIONS,
    VOLUMES,
    FeatureConfig,
    FeatureLayout,
)
from featurestore.standing import NUM_ACTIONS, Standing, standing_of
from featurestore.state import UserState

__all__ = ["FeatureConfig", "FeatureLayout", "SlateFeatures", "SlateInput", "slate_features"]

Indices = npt.NDArray[np.int32]

_RECENT_STEPS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateInput:
    """N candidates, shown or to be ranked; missing numbers are NaN.

    Attributes:
        keys: uint64[N] item keys.
        positions: int32[N] from 1 where they were shown; None where they are yet to be ranked.
        numeric: float32[N, P] values of `FeatureConfig.numeric`.
        context: of the event.
        source_scores: float32[N, S] log-scores of the recall sources.
        statistics: float32[N, 2]: log2 of the decayed impressions, smoothed log-odds of a click.
        ages_s: float64[N] since publication or first appearance.
        categories: int32[N] codes, -1 for none.
        recent_categories: int32[K] codes of the items of the user's last 20 actions.
    """

    keys: npt.NDArray[np.uint64]
    positions: npt.NDArray[np.int32] | None = None
    numeric: npt.NDArray[np.float32]
    context: Mapping[str, Scalar]
    source_scores: npt.NDArray[np.float32]
    statistics: npt.NDArray[np.float32]
    ages_s: npt.NDArray[np.float64]
    categories: npt.NDArray[np.int32]
    recent_categories: npt.NDArray[np.int32]


class SlateFeatures(NamedTuple):
    """Indices into the weights: int32[N, R] and int32[N, E]; E is 0 without positions."""

    relevance: Indices
    examination: Indices


@dataclass(frozen=True, slots=True)
class _Situation:
    """What the templates share: the standing, and what of it concerns the slate as a whole."""

    standing: Standing
    acted: npt.NDArray[np.bool_]
    class_: Ints
    num_interacted: int
    has_last: bool


def slate_features(layout: FeatureLayout, state: UserState, slate: SlateInput) -> SlateFeatures:
    """Return the features of a slate's items for the user in `state`.

    A pure function of its arguments, without a clock: times count back from the user's last
    action. Of relevance only the columns named slate, percentile and to_interacted depend on
    which other items stand in the slate.

    Args:
        layout: which index means what.
        state: of the user, just before the impression or at the list's computation.
        slate: N candidates.
    """
    situation = _situation(layout, state, slate)
    relevance = _relevance(layout, state, slate, situation)
    num_relevance = layout.relevance_width
    offsets = layout.offsets
    if slate.positions is None:
        examination = np.empty((len(slate.keys), 0), np.int32)
    else:
        bins = _examination(layout, slate, slate.positions, situation)
        examination = _stacked(bins, offsets[num_relevance:-1])
    return SlateFeatures(_stacked(relevance, offsets[:num_relevance]), examination)


def _situation(layout: FeatureLayout, state: UserState, slate: SlateInput) -> _Situation:
    standing = standing_of(state, slate.keys, layout.is_click)
    acted = standing.num_in_session > 0
    recently = acted & (standing.steps_back <= _RECENT_STEPS)
    return _Situation(
        standing=standing,
        acted=acted,
        # 0 untouched, 1 touched in the session, 2 recently, 3 the last item touched.
        class_=np.where(standing.is_last, 3, acted.astype(np.int64) + recently),
        num_interacted=int(acted.sum()),
        has_last=bool(standing.is_last.any()),
    )


def _relevance(
    layout: FeatureLayout, state: UserState, slate: SlateInput, situation: _Situation
) -> list[Ints]:
    standing, class_ = situation.standing, situation.class_
    session_clicks = min(standing.session_num_clicks, 7)
    slate_situation = (situation.has_last * NUM_ACTIONS + standing.last_action) * 4 + min(
        situation.num_interacted, 3
    )
    session_step = min(standing.session_num_actions.bit_length(), 8)
    touched = np.where(standing.is_last, 2, situation.acted)
    measured = _measured(layout, slate)
    columns = [
        log_bins(standing.seconds_back + 1, 15),
        log_bins(standing.steps_back + 1, 8) * NUM_ACTIONS + standing.action,
        np.minimum(standing.num_in_session, 7),
        (np.minimum(standing.num_clicks, 2) * 3 + touched) * 8 + session_clicks,
        slate_situation * CLASSES + class_,
        session_step * CLASSES + class_,
        _before(state, slate, standing),
        np.minimum(state.shown_counts(slate.keys), 7),
        # How high the click rate is, crossed with how much it rests on.
        measured[0] * VOLUMES + measured[1],
        measured[2],
        _category_shares(slate.categories, slate.recent_categories),
    ]
    shares = percentiles(np.concatenate((slate.numeric.T, slate.source_scores.T)))
    num_numeric = len(layout.config.numeric)
    for at in range(num_numeric):
        columns += [
            shares[at] * NUM_ACTIONS + standing.last_action,
            _to_interacted(slate.numeric[:, at], situation.acted) * 2 + situation.acted,
        ]
    columns += [bucket_ * CLASSES + class_ for bucket_ in _buckets(layout, slate)]
    for at in range(len(layout.source_names)):
        columns += [measured[3 + at], shares[num_numeric + at]]
    return columns


def _examination(
    layout: FeatureLayout,
    slate: SlateInput,
    positions: npt.NDArray[np.int32],
    situation: _Situation,
) -> list[Ints]:
    standing = situation.standing
    position = np.minimum(positions.astype(np.int64), POSITIONS - 1)
    offset = np.zeros(len(positions), np.int64)
    if situation.has_last:
        last_position = positions[standing.is_last.argmax()]
        offset = np.clip(positions.astype(np.int64) - last_position, -13, 13) + OFFSETS // 2
    slate_situation = situation.has_last * NUM_ACTIONS + standing.last_action
    return [
        position,
        position * 6 + min(situation.num_interacted, 5),
        position * CLASSES + situation.class_,
        position * 2 * NUM_ACTIONS + slate_situation,
        position * 5 + min(standing.session_num_clicks, 4),
        offset,
        offset * NUM_ACTIONS + standing.last_action,
        *(
            position * layout.config.context_buckets + bucket_
            for bucket_ in _buckets(layout, slate)
        ),
    ]


def _stacked(columns: Sequence[Ints], offsets: Ints) -> Indices:
    stacked = np.empty((len(columns), len(columns[0])), np.int32)
    for row, column in enumerate(columns):
        stacked[row] = column
    stacked += offsets[:, None].astype(np.int32)
    return np.ascontiguousarray(stacked.T)


def _buckets(layout: FeatureLayout, slate: SlateInput) -> list[int]:
    num_buckets = layout.config.context_buckets
    return [bucket(name, slate.context.get(name), num_buckets) for name in layout.config.context]


def _before(state: UserState, slate: SlateInput, standing: Standing) -> Ints:
    """Actions before the session, 0 to 3 and more; 4 for an item that is only known as seen."""
    held = np.minimum(standing.num_before, 3)
    if not len(state.seen):
        return held
    only_seen = (held == 0) & (standing.num_in_session == 0) & state.acted_mask(slate.keys)
    return np.where(only_seen, 4, held)


def _measured(layout: FeatureLayout, slate: SlateInput) -> Ints:
    """Bin what has a scale of its own: click rate, its volume, age, and the sources' scores."""
    values = np.empty((3 + len(layout.source_names), len(slate.keys)), np.float64)
    values[0] = slate.statistics[:, 1]
    values[1] = np.nan_to_num(slate.statistics[:, 0])
    values[2] = np.log2(1 + slate.ages_s / 60)
    values[3:] = slate.source_scores.T
    step, low, num_bins = layout.scales
    return steps(values, step=step, low=low, num_bins=num_bins)


def _category_shares(categories: npt.NDArray[np.int32], recent: npt.NDArray[np.int32]) -> Ints:
    """Bin the share of the user's last actions that were in the item's category; 6 is none."""
    counts = np.bincount(recent[recent >= 0], minlength=1)
    counts = np.append(counts, 0)
    shares = counts[np.minimum(categories, len(counts) - 1)] / max(len(recent), 1)
    return np.where(categories < 0, 6, np.ceil(shares * 5)).astype(np.int64)


def _to_interacted(values: npt.NDArray[np.float32], acted: npt.NDArray[np.bool_]) -> Ints:
    """Bin the log-ratio to the mean of the slate's interacted items; 0 is no such, 19 NaN."""
    references = values[acted]
    references = references[references > 0]
    if not len(references):
        return np.zeros(len(values), np.int64)
    logs = np.log(np.where(values > 0, values, np.nan).astype(np.float64))
    ratios = logs - np.log(references.astype(np.float64)).mean()
    bins: Ints = steps(ratios[None], step=_RATIO_STEP, low=_RATIO_LOW, num_bins=_RATIO_BINS)[0]
    return bins + np.int64(1)


_RATIO_STEP: Final = np.array([1 / 6])
_RATIO_LOW: Final = np.array([-1.5])
_RATIO_BINS: Final = np.array([18])
