"""What the choice head sees of a candidate: who it is, and what the user has done with its kind.

Eight indices a candidate (see `choice_layout`). The last two concern the item that the user acted
upon last, whose pull fades with time: they are weighted by it, all the others count in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.choice_layout import AGES, SHOWN, ChoiceLayout
from featurestore.state import UserState

NUM_PULLED: Final = 2
"""How many of the last columns are weighted by the pull."""

Keys = npt.NDArray[np.uint64]

_AGE_STEPS: Final = 3
_MIXERS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_HALF_WORD: Final = np.uint64(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceInput:
    """N candidates of B users, user after user.

    Attributes:
        sizes: int64[B], how many of the candidates are each user's.
        keys: uint64[N] item keys.
        kinds: uint32[N, 2] keys of each item's first two categories, 0 for none.
        ages_s: float64[N] since publication or first appearance.
        users: uint64[B] hashes of the users' ids.
        last_kinds: uint32[B, 2] of the item that each user acted upon last, 0 for none.
        gaps_ms: float64[B] since then.
    """

    sizes: npt.NDArray[np.int64]
    keys: Keys
    kinds: npt.NDArray[np.uint32]
    ages_s: npt.NDArray[np.float64]
    users: Keys
    last_kinds: npt.NDArray[np.uint32]
    gaps_ms: npt.NDArray[np.float64]


class ChoiceFeatures(NamedTuple):
    """Indices int32[N, C] into the choice head's cells, and the pull of each, float32[N]."""

    indices: npt.NDArray[np.int32]
    pulls: npt.NDArray[np.float32]

    def part(self, part: slice) -> "ChoiceFeatures":
        """Those of some of the items."""
        return ChoiceFeatures(self.indices[part], self.pulls[part])


def choice_features(
    layout: ChoiceLayout, states: Sequence[UserState], slates: ChoiceInput
) -> ChoiceFeatures:
    """Return the features of candidates; a pure function, of each candidate by itself.

    Args:
        layout: which index means what.
        states: of the B users, just before the impression or at the list's computation.
        slates: N candidates.
    """
    owners = np.repeat(np.arange(len(states)), slates.sizes)
    acted, shown = _past(states, slates)
    kinds = slates.kinds.astype(np.uint64)
    last_kinds = slates.last_kinds.astype(np.uint64)[owners]
    config = layout.config
    columns = [
        slates.keys % np.uint64(config.item_cells),
        kinds[:, 0] % np.uint64(config.category_cells),
        _crossed(slates.users[owners], kinds[:, 0], config.taste_cells),
        np.clip(np.log2(1 + slates.ages_s / 60) * _AGE_STEPS, 0, AGES - 1),
        acted,
        np.minimum(shown, SHOWN - 1),
        _crossed(last_kinds[:, 0], kinds[:, 0], config.follow_cells),
        (last_kinds[:, 1] == kinds[:, 1]) & (kinds[:, 1] > 0),
    ]
    indices = np.empty((len(slates.keys), layout.num_columns), np.int32)
    offsets = layout.offsets[: layout.num_columns]
    for number, (column, offset) in enumerate(zip(columns, offsets, strict=True)):
        indices[:, number] = column.astype(np.int64) + offset
    pulls = np.exp2(-slates.gaps_ms / config.follow_half_life_ms) * (slates.last_kinds[:, 0] > 0)
    return ChoiceFeatures(indices, pulls[owners].astype(np.float32))


def _past(
    states: Sequence[UserState], slates: ChoiceInput
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Whether the user has acted upon each candidate, and how often it was shown of late."""
    acted = np.zeros(len(slates.keys), np.bool_)
    shown = np.zeros(len(slates.keys), np.int64)
    ends = slates.sizes.cumsum().tolist()
    for state, size, end in zip(states, slates.sizes.tolist(), ends, strict=True):
        keys = slates.keys[end - size : end]
        acted[end - size : end] = state.acted_mask(keys)
        shown[end - size : end] = state.shown_counts(keys)
    return acted, shown


def _crossed(first: Keys, second: Keys, num_cells: int) -> Keys:
    """Hash pairs into cells."""
    mixed = first * _MIXERS[0] + second * _MIXERS[1]
    mixed ^= mixed >> _HALF_WORD
    mixed *= _MIXERS[0]
    crossed: Keys = (mixed >> _HALF_WORD) % np.uint64(num_cells)
    return crossed
