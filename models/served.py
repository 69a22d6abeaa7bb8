"""How does a live process ask a model that learned from a finished log, without torch?

Models that need none to score are loaded as they are; of the others the bundle holds a graph.

Shape letters: B sequences, N items of the bundle, E items that joined it.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.bundle import WEIGHTS, Bundle, BundleRefused
from models.graph_inputs import ATTRIBUTE_VECTORS, FEEDS, NEW_ITEMS, Feeder
from models.new_items import NewItems
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
    def new_items(self) -> NewItems | None:
        """Items that came after training, whose scores follow those of the catalogue.

        None of a model that can say nothing of them.
        """
        ...

    @property
    def item_ids(self) -> Sequence[str]:
        """The catalogue, in the order of the scores."""
        ...

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N + E]`; see `Recommender`."""
        ...


class GraphModel:
    """A network behind its graph; as `ServedModel`."""

    def __init__(self, bundle: Bundle, feed: Feeder) -> None:
        """Load a checked bundle.

        Args:
            bundle: it.
            feed: what its graph reads of sequences.

        Raises:
            BundleRefused: it holds no graph, or one that cannot be run, or not what the graph is
                fed by.
        """
        self._feed = feed
        self._settings = bundle.config.settings
        self._session = session_of(bundle)
        self.item_ids: Sequence[str] = bundle.item_ids
        self.new_items: NewItems | None = None
        try:
            self.side = side_of(self._settings["side"])
            if NEW_ITEMS in [port.name for port in self._session.get_inputs()]:
                self.new_items = NewItems(bundle.arrays(WEIGHTS)[ATTRIBUTE_VECTORS])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise BundleRefused(
                f"{bundle.folder}: the settings or weights lack what this version reads "
                f"({type(error).__name__}: {error}); train it anew (headrace train)"
            ) from error

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N + E]`."""
        num_new = 0 if self.new_items is None else len(self.new_items.codes_E)
        if not sequences:
            return np.zeros((0, len(self.item_ids) + num_new), np.float32)
        feed = self._feed(sequences, self._settings, len(self.item_ids) + num_new)
        if self.new_items is not None:
            feed[NEW_ITEMS] = self.new_items.vectors_EI
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
