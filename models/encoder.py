"""How does a user's history become a query vector, without torch?

The trainer exports the transformer's user encoder as an ONNX graph; here it is served with ONNX
Runtime on one core. A score is one product of the query with the item matrix, plus the counters'
log-scores times the weights that the graph returns with the query:

    score(item) = query . item vector + w0 popularity(item) + w1 lift(item) + w2 listed

(lift: co-visitation's log-score minus popularity's; missing for items that it does not list.)

The time until the action being predicted is unknown when a list is computed, so it is no input,
neither here nor in training. What is known is the event that caused the list: after an action the
request gap is 0 ("now"); after a visit it is the time from the last action to that visit. Training
derives the same number from the log's visits. Contexts that the bundle reads are that event's, too.

Shape letters: B users, L tokens, I item vector width, N items of the bundle, A action types.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from models.bundle import WEIGHTS, Bundle, BundleRefused, load_bundle
from models.encoder_inputs import ActionSequence, EncoderInputs, encoder_inputs, user_buckets
from models.onnx_session import session_of
from models.side_features import NO_SIDE, SideFeatures, context_rows, side_of

BUNDLE_KIND: Final = "transformer"

# Larger batches leave the cache; smaller ones waste calls.
_MAX_BATCH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedQueries:
    """What the encoder says about B users.

    Attributes:
        query_BI: float32; its products with the item vectors are logits, all scales included.
        counter_weight_B3: weights of the popularity log-score, of co-visitation's lift and of
            the flag that co-visitation lists the item; float32.
        action_chance_BA: probability of each type for the user's next action; float32.
    """

    query_BI: npt.NDArray[np.float32]
    counter_weight_B3: npt.NDArray[np.float32]
    action_chance_BA: npt.NDArray[np.float32]


def side_read_by(bundle: Bundle) -> SideFeatures:
    """Return which contexts a bundle's encoder reads.

    Raises:
        BundleRefused: they are of another version.
    """
    told = bundle.config.settings.get("side")
    try:
        return NO_SIDE if told is None else side_of(told)
    except (TypeError, ValueError) as error:
        raise BundleRefused(f"{bundle.folder}: contexts of another version ({error})") from error


class SequenceEncoder:
    """A bundle's user encoder and item matrix, ready to serve on one thread.

    Attributes:
        bundle: where it came from.
        vectors_NI: unit vector of each item of the bundle, in the bundle's order; float32.
        side: which contexts the encoder reads.
    """

    def __init__(self, bundle: Bundle, *, key_of: Callable[[str], int]) -> None:
        """Load from a checked bundle.

        Args:
            bundle: of kind "transformer".
            key_of: the key under which `ActionSequence` names an item id; never 0.

        Raises:
            BundleRefused: another kind, damaged since it was checked, or no serving graph.
        """
        if bundle.config.kind != BUNDLE_KIND:
            raise BundleRefused(
                f"{bundle.folder}: kind {bundle.config.kind!r} found, {BUNDLE_KIND!r} expected"
            )
        self.bundle = bundle
        settings = bundle.config.settings
        self._length = int(settings["length"])
        self._num_user_buckets = int(settings["num_user_buckets"])
        self._target_action = int(settings["target_action"])
        self.side = side_read_by(bundle)
        matrix = bundle.arrays(WEIGHTS)["items"].astype(np.float32)
        if matrix.shape != (len(bundle.item_ids) + 1, int(settings["item_width"])):
            raise BundleRefused(
                f"{bundle.folder}: an item matrix {matrix.shape} for {len(bundle.item_ids)} items"
            )
        self._matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
        self.vectors_NI = self._matrix[1:]
        self.keys_N = np.array([key_of(item_id) for item_id in bundle.item_ids], np.uint64)
        order = np.argsort(self.keys_N)
        self._sorted_keys = self.keys_N[order]
        self._sorted_rows = order + 1
        self._session = session_of(bundle)

    @classmethod
    def load(
        cls, folder: Path, *, key_of: Callable[[str], int], expected_digest: str | None = None
    ) -> Self:
        """Check the bundle in `folder` and load it; see `load_bundle` for what is refused."""
        return cls(load_bundle(folder, expected_digest=expected_digest), key_of=key_of)

    def encode(self, batch: Sequence[ActionSequence]) -> EncodedQueries:
        """Return the queries of a batch of users, in its order.

        A user's figures do not depend on the others but for the last bits of rounding. Cost on one
        core: about a quarter of a millisecond a user in batches, at 50 actions each.
        """
        num_users = len(batch)
        outputs: list[npt.NDArray[np.float32]] = []
        if num_users:
            # Users of similar length share a batch, so that little padding is computed.
            order = np.argsort([len(sequence.keys) for sequence in batch], kind="stable")
            pieces = [
                self._run([batch[index] for index in order[start : start + _MAX_BATCH]])
                for start in range(0, num_users, _MAX_BATCH)
            ]
            back = np.argsort(order)
            outputs = [np.concatenate(parts)[back] for parts in zip(*pieces, strict=True)]
        else:
            outputs = [
                np.zeros((0, width), np.float32) for width in (self.vectors_NI.shape[1], 3, 0)
            ]
        query_BI, counter_weight_B3, action_chance_BA = outputs
        return EncodedQueries(
            query_BI=query_BI,
            counter_weight_B3=counter_weight_B3,
            action_chance_BA=action_chance_BA,
        )

    def inputs(self, batch: Sequence[ActionSequence]) -> EncoderInputs:
        """Return the token codes that the encoder sees for at least one user."""
        return encoder_inputs(
            batch, length=self._length, sorted_keys=self._sorted_keys, rows=self._sorted_rows
        )

    def _run(self, batch: Sequence[ActionSequence]) -> list[npt.NDArray[np.float32]]:
        return self.run(self.inputs(batch), [sequence.contexts for sequence in batch])

    def run(
        self, inputs: EncoderInputs, contexts: Sequence[Sequence[int]]
    ) -> list[npt.NDArray[np.float32]]:
        """Return the graph's three outputs for token codes and, of each user, context codes."""
        told = {"context_BC": context_rows(contexts, self.side)} if self.side.context else {}
        feed = {
            **told,
            "item_BLI": self._matrix[inputs.item_BL],
            "action_BL": inputs.action_BL,
            "gap_BL": inputs.gap_BL,
            "time_BL": inputs.time_BL,
            "user_B": user_buckets(inputs.user_B, self._num_user_buckets),
            "length_B": inputs.length_B,
            "request_gap_B": inputs.request_gap_B,
            "target_action_B": np.full(len(inputs.length_B), self._target_action),
        }
        outputs: list[npt.NDArray[np.float32]] = self._session.run(None, feed)
        return outputs
