"""What is a next-item model that learns from a finished log?

A recommender is fitted to a `History` and then scores the whole catalogue for any user's sequence
of actions. It knows no stream: what it must not see is kept from it by whoever makes the history.

What every recommender guarantees (`tests/contracts/test_recommenders.py` holds each to it): scores
are finite, a function of the fitted weights and of the sequence alone; the same history,
configuration and seed give the same scores on the same machine; what was saved and loaded scores
alike; an unknown user, unknown items, an empty sequence and a catalogue of one item are served; no
input is changed.

Shape letters: B sequences, N items of the catalogue, L actions of a sequence.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from models.bundle import WEIGHTS, Arrays, Bundle, BundleConfig, BundleRefused, write_bundle
from models.encoder_inputs import hash_user
from models.history import History
from models.side_features import NO_SIDE, SideFeatures, Words, side_of

UNKNOWN_ITEM: Final = -1
"""The code of an action without an item, or on an item that the catalogue does not have."""

_SIDE: Final = "side"
"""Where a bundle's settings hold the side features."""

KIND_PREFIX: Final = "offline-"
"""Of the bundles' kinds, before the model's name; the transformer of the live system has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSequence:
    """What one user has done, oldest first; the three arrays have one length, which may be 0.

    Attributes:
        user: `hash_user` of the user id; models take a user that they have not met for a new one.
        items: item codes of the catalogue, `UNKNOWN_ITEM` for none; int32.
        actions: action codes as in `History`; uint8.
        times_s: the user's clock, seconds since the epoch; uint32.
        now_s: when scores are asked for, by the user's clock; None where the list is made at the
            user's last action, as the live system does.
        contexts: what the event says that the list is made at, as `SideFeatures.context_codes` of
            the model's `side`; empty for nothing.
    """

    user: int
    items: npt.NDArray[np.int32]
    actions: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.uint32]
    now_s: int | None = None
    contexts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def moment_s(self) -> int:
        """When scores are asked for; 0 where neither a request nor an action has a time."""
        if self.now_s is not None:
            return self.now_s
        return int(self.times_s[-1]) if len(self) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitProgress:
    """How far a fit is.

    Attributes:
        done: share of the work that the fit may take at most; it may end earlier.
        epoch: passes over the history that have ended.
        loss: training loss in nats, of the step or, at the end of an epoch, its mean; None for a
            model without one.
        validation: what `validate` said after this epoch; None within an epoch or without it.
    """

    done: float
    epoch: int = 0
    loss: float | None = None
    validation: float | None = None


Validate: TypeAlias = Callable[["Recommender"], float]
"""Judges a recommender on what its history does not hold; larger is better."""


class Recommender(ABC):
    """A next-item model; subclasses say how it learns, scores, and what its weights are.

    Attributes:
        name: under which the registry, bundles and results know it.
        item_ids: the catalogue, in the order of the scores; empty before `fit`.
        side: the side features of what was learned; of a model that reads none, there are none.
        new_items: none join after training but where a graph is served that takes them in.
    """

    name: ClassVar[str]
    new_items: ClassVar[None] = None

    def __init__(self) -> None:
        self.item_ids: Sequence[str] = ()
        self.side = NO_SIDE
        self._code_of: Mapping[str, int] | None = None

    @abstractmethod
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        """Forget everything and learn the history, which is not changed.

        Nothing happens before the first `next`; scores may be asked for once the iterator has
        ended, and inside `validate`.

        Args:
            history: what to learn; its items are the catalogue, those without a row included.
            validate: where given, models that learn in passes keep the weights of the pass that it
                judged best, and end when it has not improved for some.
        """

    def continue_fit(self, history: History) -> Iterator[FitProgress] | None:  # noqa: ARG002
        """Go on from what has been learned, on a log that has grown; None where a model cannot.

        Cheaper than `fit`, and its results depend on what was learned before. Like there, nothing
        happens before the first `next`.

        Args:
            history: what to learn; its catalogue begins with this model's.
        """
        return None

    @abstractmethod
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the score of every item for each sequence, `[B, N]`, larger is better; finite.

        Items of the sequence are scored like all others: filtering is the caller's. Scores of
        different users cannot be compared.
        """

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return what the constructor takes, as JSON."""

    @abstractmethod
    def weights(self) -> Arrays:
        """Return what has been learned."""

    def graph(self) -> bytes | None:
        """Return the scores as an ONNX graph, of models that need torch; None of all others.

        It is fed by `models.graph_inputs` and saved with the bundle, so that what serves the bundle
        needs no torch.
        """
        return None

    @abstractmethod
    def restore(self, weights: Arrays) -> None:
        """Take in what `weights` returned, for the catalogue in `item_ids`."""

    def sequence(
        self,
        user_id: str,
        item_ids: Sequence[str],
        *,
        actions: Sequence[int] | None = None,
        times_s: Sequence[int] | None = None,
        now_s: int | None = None,
        context: Words | None = None,
    ) -> UserSequence:
        """Return a user's actions, oldest first, in the codes of this catalogue.

        Args:
            user_id: who acted.
            item_ids: what was acted upon; items may be unknown.
            actions: action codes; None where the log has one type only.
            times_s: seconds since the epoch; None where the log has no times.
            now_s: when scores are asked for; None for the last action's time.
            context: what the event says that the list is made at.
        """
        if self._code_of is None:
            self._code_of = {item: code for code, item in enumerate(self.item_ids)}
        num = len(item_ids)
        known = self._code_of
        moment_s = (times_s[-1] if times_s else 0) if now_s is None else now_s
        return UserSequence(
            user=hash_user(user_id),
            items=np.array([known.get(item, UNKNOWN_ITEM) for item in item_ids], np.int32),
            actions=np.array([1] * num if actions is None else actions, np.uint8),
            times_s=np.array([0] * num if times_s is None else times_s, np.uint32),
            now_s=now_s,
            contexts=self.side.context_codes(context, moment_s),
        )

    def bundle_settings(self) -> Mapping[str, Any]:
        """Return what a bundle names of the model: its settings, and its `side`."""
        return {**self.settings(), _SIDE: asdict(self.side)}

    def save(
        self,
        folder: Path,
        *,
        created_ms: int = 0,
        metrics: Mapping[str, float | None] | None = None,
    ) -> Bundle:
        """Write a bundle under a name that does not exist yet; see `models.bundle`.

        Args:
            folder: of the bundle.
            created_ms: when training ended.
            metrics: figures of the training run.
        """
        return write_bundle(
            folder,
            config=BundleConfig(
                kind=KIND_PREFIX + self.name,
                created_ms=created_ms,
                cutoff_offset=0,
                cutoff_ms=0,
                metrics=metrics or {},
                settings=self.bundle_settings(),
            ),
            item_ids=self.item_ids,
            weights=self.weights(),
            graph=self.graph() if self.item_ids else None,
        )

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """Return the model that a bundle was saved from.

        Raises:
            BundleRefused: the bundle is another model's, or its weights do not fit.
        """
        expected = KIND_PREFIX + cls.name
        if bundle.config.kind != expected:
            raise BundleRefused(
                f"{bundle.folder}: kind {bundle.config.kind!r} found, {expected!r} expected"
            )
        try:
            model = cls(**{k: v for k, v in bundle.config.settings.items() if k != _SIDE})
            model._adopt(bundle.item_ids, side_of(bundle.config.settings[_SIDE]))
            model.restore(bundle.arrays(WEIGHTS))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BundleRefused(
                f"{bundle.folder}: not the settings or weights of {cls.name!r} ({error}); "
                "fit it anew"
            ) from error
        return model

    def _adopt(self, item_ids: Sequence[str], side: SideFeatures = NO_SIDE) -> None:
        """Take over a catalogue, and which side features will be read."""
        self.item_ids = tuple(item_ids)
        self.side = side
        self._code_of = None


def item_sequences(history: History) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows with an item, sorted by user and within a user in log order.

    Returns:
        `(order_R, begin_U)`: positions of the history's kept rows, and for each user, in the order
        of the hash, the first place in `order_R`; `begin_U` has one more entry, the end.
    """
    with_item = np.flatnonzero(history.items >= 0)
    users = history.users[with_item]
    order = np.argsort(users, kind="stable")
    sorted_users = users[order]
    begin_U = np.flatnonzero(np.r_[True, sorted_users[1:] != sorted_users[:-1]][: len(order)])
    return with_item[order], np.r_[begin_U, len(order)]


def sequence_before(history: History, row: int, before: npt.NDArray[np.int64]) -> UserSequence:
    """Return what a live list would have known just before an action.

    Args:
        history: not changed.
        row: of the action.
        before: its user's rows before it that count, in log order.
    """
    return UserSequence(
        user=int(history.users[row]),
        items=history.items[before],
        actions=history.actions[before],
        times_s=history.times_s[before],
        now_s=int(history.asked_s[row]) or None,
        contexts=tuple(history.contexts[row].tolist()),
    )


def item_counts(history: History) -> npt.NDArray[np.int64]:
    """Return how many kept rows mention each item, `[N]`."""
    items = history.items
    return np.bincount(items[items >= 0], minlength=len(history.item_ids))


def tie_breaks(counts_N: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the counts as shares of the largest, which orders what a model says nothing of."""
    return counts_N / max(int(counts_N.max(initial=0)), 1)


def checked(
    values: npt.NDArray[Any], num: int | None, dtype: type[np.generic] = np.float32
) -> npt.NDArray[Any]:
    """Return a loaded vector in the model's own type.

    Args:
        values: as loaded.
        num: how many there must be; None for any number but none.
        dtype: what the model computes with.

    Raises:
        ValueError: another shape.
    """
    fits = len(values) == num if num is not None else len(values) > 0
    if values.ndim != 1 or not fits:
        expected = "some" if num is None else num
        raise ValueError(f"a vector of shape {values.shape} found, {expected} entries expected")
    return values.astype(dtype)


def checked_matrix(values: npt.NDArray[Any], num_rows: int, width: int) -> npt.NDArray[np.float32]:
    """Return a loaded matrix as float32.

    Raises:
        ValueError: another shape.
    """
    if values.shape != (num_rows, width):
        raise ValueError(
            f"a matrix of shape {values.shape} found, {num_rows} rows of {width} expected"
        )
    return values.astype(np.float32)
