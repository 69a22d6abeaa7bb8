"""Which arrays do the networks' serving graphs read of a user's sequence? No torch.

Training's networks and the graphs take the same ones, so that they cannot drift apart.

Shape letters: B sequences, K newest items, L tokens, Y items of the longest bag,
Z items of all bags.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from models.bags import Bags, recency_weights, sequence_bags, unit_length
from models.encoder_inputs import ActionSequence, EncoderInputs, encoder_inputs, user_buckets
from models.recommender import UNKNOWN_ITEM, UserSequence
from models.side_features import SideFeatures, clock_inputs, context_rows, side_of

Settings: TypeAlias = Mapping[str, Any]
"""Of a bundle: what its model's constructor took, and its `side`."""

Feed: TypeAlias = dict[str, npt.NDArray[Any]]

Feeder: TypeAlias = Callable[[Sequence[UserSequence], Settings, int], Feed]
"""Makes a feed of at least one sequence; the number is of the items."""


NEW_ITEMS: Final = "new_EI"
"""The input of a graph that takes in the vectors of E items which came after training."""

ATTRIBUTE_VECTORS: Final = "attributes.vectors"
"""The weights of which such a vector is made: a row for each attribute code."""


def newest_items(sequences: Sequence[UserSequence], length: int) -> npt.NDArray[np.int64]:
    """Return the codes of each sequence's `length` newest items, newest first, -1 for none.

    Actions without a known item are left out, as they are in a log's rows with an item.
    """
    item_BK = np.full((len(sequences), length), UNKNOWN_ITEM, np.int64)
    for row_K, sequence in zip(item_BK, sequences, strict=True):
        known = sequence.items[sequence.items >= 0][-length:][::-1]
        row_K[: len(known)] = known
    return item_BK


def read_bags(
    sequences: Sequence[UserSequence], half_life: float | None
) -> tuple[Bags, npt.NDArray[np.float32]]:
    """Return the bags that an autoencoder is asked about, and how much it reads each item."""
    bags = sequence_bags(sequences)
    return bags, unit_length(bags, recency_weights(bags, half_life))


def user_rows(user_B: npt.NDArray[np.uint64], network: Settings) -> npt.NDArray[np.int64]:
    """Return the row of the two towers' user vectors of each hashed user, 0 for unknown."""
    if network["user_dropout"] >= 1:
        return np.zeros(len(user_B), np.int64)
    return 1 + user_buckets(user_B, network["num_user_buckets"])


def token_inputs(
    sequences: Sequence[UserSequence], *, num_items: int, length: int
) -> EncoderInputs:
    """Return the token codes of sequences whose items are codes, the rows of items from 1."""
    rows_N = np.arange(1, num_items + 1)
    return encoder_inputs(
        [
            ActionSequence(
                # Codes are keys here, raised by one since 0 is "no item".
                keys=(sequence.items + 1).astype(np.uint64),
                actions=sequence.actions,
                times_s=sequence.times_s.astype(np.int64),
                user=sequence.user,
            )
            for sequence in sequences
        ],
        length=length,
        sorted_keys=rows_N.astype(np.uint64),
        rows=rows_N,
    )


def moment_contexts(sequences: Sequence[UserSequence], side: SideFeatures) -> Feed:
    """Return the contexts that networks read, as one input; nothing where there are none."""
    if not side.context:
        return {}
    return {"context_BC": context_rows([sequence.contexts for sequence in sequences], side)}


def moment_clocks(sequences: Sequence[UserSequence], side: SideFeatures) -> npt.NDArray[np.float32]:
    """Return the times as numbers, as `clock_inputs`; all 0 where they are not to be known."""
    moment_B = np.array([sequence.moment_s for sequence in sequences], np.int64)
    return clock_inputs(moment_B * side.clock)


def _two_tower(sequences: Sequence[UserSequence], settings: Settings, _num_items: int) -> Feed:
    network = settings["network"]
    hash_B = np.array([sequence.user for sequence in sequences], np.uint64)
    return {
        "item_BK": newest_items(sequences, network["length"]),
        "user_B": user_rows(hash_B, network),
        **moment_contexts(sequences, side_of(settings["side"])),
    }


def _youtube(sequences: Sequence[UserSequence], settings: Settings, _num_items: int) -> Feed:
    return {
        "item_BK": newest_items(sequences, settings["network"]["length"]),
        **moment_contexts(sequences, side_of(settings["side"])),
    }


def _autoencoder(sequences: Sequence[UserSequence], settings: Settings, _num_items: int) -> Feed:
    bags, weight_Z = read_bags(sequences, settings["half_life"])
    shape = (len(bags), int(bags.sizes.max(initial=0)))
    item_BY, weight_BY = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    item_BY[bags.owners, bags.places] = bags.item_Z
    weight_BY[bags.owners, bags.places] = weight_Z
    side = side_of(settings["side"])
    feed: Feed = {"item_BY": item_BY, "weight_BY": weight_BY, **moment_contexts(sequences, side)}
    if side.tells_moments:
        feed["clock_B4"] = moment_clocks(sequences, side)
    return feed


def _lstm(sequences: Sequence[UserSequence], settings: Settings, num_items: int) -> Feed:
    network = settings["network"]
    inputs = token_inputs(sequences, num_items=num_items, length=network["length"])
    return {
        "item_BL": inputs.item_BL,
        "action_BL": inputs.action_BL,
        "gap_BL": inputs.gap_BL,
        "user_B": user_buckets(inputs.user_B, network["num_user_buckets"]),
        "length_B": inputs.length_B,
        "request_gap_B": inputs.request_gap_B,
        **moment_contexts(sequences, side_of(settings["side"])),
    }


FEEDS: Final[Mapping[str, Feeder]] = {
    "two_tower": _two_tower,
    "youtube": _youtube,
    "autoencoder": _autoencoder,
    "lstm": _lstm,
}
"""What the graph of each model that needs torch is fed, by the model's name."""
