"""How does a live process ask a model that learned from a finished log, without torch?

Models that need none to score are loaded as they are; of the others the bundle holds a graph.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.bundle import WEIGHTS, Bundle, BundleRefused
from models.graph_inputs import ATTRIBUTE_VECTORS, FEEDS, NEW_ITEMS, Feeder
from models.onnx_session import session_of
from models.recommender import KIND_PREFIX, UserSequence
from models.registry import SERVABLE, load_recommender
from models.side_features import SideFeatures, side_of


class ServedModel(Protocol):
    """What a live source needs of a model.

    Attributes:
        side: the side features that it reads of sequences.
    """

    side: SideFeatures

    @property
    def item_ids(self) -> Sequence[str]:
        """The catalogue, in the order of the scores."""
        ...

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N]`; see `Recommender`."""
        ...

    def join(self, item_id: str, attributes: tuple[int, ...]) -> bool:
        """Take an item that came after training in; see `Recommender`."""
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
        self.item_ids: list[str] = list(bundle.item_ids)
        self._joined: dict[str, int] = {}
        self._new_EI: npt.NDArray[np.float32] | None = None
        if NEW_ITEMS in [port.name for port in self._session.get_inputs()]:
            self._vectors = bundle.arrays(WEIGHTS)[ATTRIBUTE_VECTORS]
            self._new_EI = np.zeros((0, self._vectors.shape[1]), np.float32)
        self.side = side_of(bundle.config.settings["side"])

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N]`."""
        if not sequences:
            return np.zeros((0, len(self.item_ids)), np.float32)
        feed = self._feed(sequences, self._settings, len(self.item_ids))
        if self._new_EI is not None:
            feed[NEW_ITEMS] = self._new_EI
        scores_BN: npt.NDArray[np.float32]
        (scores_BN,) = self._session.run(None, feed)
        return scores_BN

    def join(self, item_id: str, attributes: tuple[int, ...]) -> bool:
        """Take an item in by the mean of its attributes' vectors; again for a newer record."""
        if self._new_EI is None:
            return False
        mean_I = self._vectors[list(attributes)].sum(0) / max(len(attributes), 1)
        unit_I = mean_I / np.float32(max(float(np.linalg.norm(mean_I)), 1e-12))
        if item_id in self._joined:
            self._new_EI[self._joined[item_id]] = unit_I
            return True
        if not unit_I.any():
            return False
        self._joined[item_id] = len(self._new_EI)
        self._new_EI = np.concatenate([self._new_EI, unit_I[None]])
        self.item_ids.append(item_id)
        return True


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
