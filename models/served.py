"""How does a live process ask a model that learned from a finished log, without torch?

Models that need none to score are loaded as they are; of the others the bundle holds a graph.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle, BundleRefused
from models.graph_inputs import FEEDS, Feeder
from models.onnx_session import session_of
from models.recommender import KIND_PREFIX, UserSequence
from models.registry import SERVABLE, load_recommender
from models.side_features import SideFeatures, side_of


class ServedModel(Protocol):
    """What a live source needs of a model.

    Attributes:
        item_ids: the catalogue, in the order of the scores.
        side: the side features that it reads of sequences.
    """

    item_ids: Sequence[str]
    side: SideFeatures

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N]`; see `Recommender`."""
        ...


class GraphModel:
    """A network behind its graph; as `ServedModel`."""

    def __init__(self, bundle: Bundle, feed: Feeder) -> None:
        """Load a checked bundle.

        Args:
            bundle: it.
            feed: what its graph reads of sequences.

        Raises:
            BundleRefused: it holds no graph, or one that cannot be run.
        """
        self._feed = feed
        self._settings = bundle.config.settings
        self._session = session_of(bundle)
        self.item_ids = bundle.item_ids
        self.side = side_of(bundle.config.settings["side"])

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N]`."""
        if not sequences:
            return np.zeros((0, len(self.item_ids)), np.float32)
        feed = self._feed(sequences, self._settings, len(self.item_ids))
        scores_BN: npt.NDArray[np.float32]
        (scores_BN,) = self._session.run(None, feed)
        return scores_BN


def load_served(bundle: Bundle) -> ServedModel:
    """Return what a checked bundle holds, as a live process asks it.

    Raises:
        BundleRefused: of a model that is not served live, or not intact.
    """
    name = bundle.config.kind.removeprefix(KIND_PREFIX)
    if name not in SERVABLE:
        known = ", ".join(SERVABLE)
        raise BundleRefused(
            f"{bundle.folder}: a model {name!r} found, one that can be a live source expected: "
            f"{known}"
        )
    return GraphModel(bundle, FEEDS[name]) if name in FEEDS else load_recommender(bundle)
