"""What would policies have shown at each impression of a log, and what came of what was shown?

The model that doubly robust asks has learned, when an impression is shown, the slates that were
answered before it and are of users of other folds: it never knows the reward that it is to foresee.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.events import Impression
from featurestore.keys import item_keys
from featurestore.state import UserState
from models.policies.item_position_model import ItemPositionModel, fold_of
from models.policies.off_policy import BadPropensity
from streams.evaluation.off_policy_estimates import AnsweredSlate, JudgedSlate
from streams.evaluation.off_policy_targets import Opinion, Targets
from streams.examples import unpack_int32
from streams.join_outcome import JoinOutcome
from streams.learner.attribution import ClosedSlate
from streams.learner.fold import LearnEffects

_NUM_POSITIONS: Final = 50
"""Places that the model of doubly robust tells apart."""


class Judge:
    """Joins what policies would have shown with what was clicked.

    Attributes:
        answered: The evaluated slates whose answer is final, in the order of their answers.
        joins: Slates and clicks by fate.
    """

    def __init__(self, targets: Targets) -> None:
        """Begin with nothing shown; `targets` learn from what is answered until they are frozen."""
        self.answered: list[AnsweredSlate] = []
        self.joins: Counter[JoinOutcome] = Counter()
        self._targets = targets
        self._model = ItemPositionModel(num_positions=_NUM_POSITIONS)
        self._users: dict[str, int] = {}
        self._waiting: dict[int, JudgedSlate] = {}

    @property
    def num_users(self) -> int:
        """Whose slates were answered."""
        return len(self._users)

    def ask(self, place: int, event: Impression, state: UserState) -> Opinion:
        """Return what the policies would have shown at an impression that is to be evaluated.

        Args:
            place: Of the event in the log.
            event: What was shown.
            state: Of its user, just before.

        Raises:
            BadPropensity: The impression does not tell with which chances it came about.
        """
        opinion = self._targets.ask(event, state, place)
        keys = item_keys([shown.item_id for shown in event.items]).tolist()
        fold, places = fold_of(event.user_id), opinion.positions
        expected_KN = self._model.expected(fold, opinion.keys.tolist(), places)
        self._waiting[place] = JudgedSlate(
            propensities=_propensities(event),
            targets=opinion.of_shown,
            of_logged=np.diagonal(self._model.expected(fold, keys, places)),
            of_target={
                name: (chances_KN * expected_KN).sum(axis=1)
                for name, chances_KN in opinion.of_all.items()
            },
        )
        return opinion

    def forget(self, place: int) -> None:
        """What stands there was delivered twice: it was shown once."""
        self._waiting.pop(place, None)

    def settle(self, effects: LearnEffects) -> None:
        """Take the slates whose answer is final: learned from, and counted if evaluated."""
        self.joins.update(effects.joins)
        for closed in effects.closed:
            row = closed.slate.row
            judged = self._waiting.pop(row.offset, None)
            if closed.outcome is JoinOutcome.EVICTED:
                continue
            if closed.is_learned:
                self._learn(closed)
            if judged is not None:
                user = self._users.setdefault(row.user_id, len(self._users))
                rewards = closed.is_clicked().astype(np.float64)
                self.answered.append(AnsweredSlate(user, judged, rewards))

    def _learn(self, closed: ClosedSlate) -> None:
        row, items = closed.slate.row, closed.slate.items
        labels, positions = closed.is_clicked(), np.array(row.positions)
        self._model.learn(fold_of(row.user_id), item_keys(items).tolist(), positions, labels)
        relevance = unpack_int32(row.relevance, len(items))
        examination = unpack_int32(row.examination, len(items))
        self._targets.learn(relevance, examination, labels, closed.watch_times())


def _propensities(event: Impression) -> npt.NDArray[np.float64]:
    """What was logged with each item.

    Raises:
        BadPropensity: Something was not.
    """
    for shown in event.items:
        if shown.propensity is None:
            raise BadPropensity(
                f"found no propensity at item {shown.item_id!r}, position {shown.position}, of "
                f"impression {event.event_id!r}, expected one with every item that is evaluated: "
                "the chance, above 0 and up to 1, that it stood there. The application logs it "
                "(docs/events.md); --learn-until leaves out an older part of a log"
            )
    return np.array([shown.propensity for shown in event.items], np.float64)
