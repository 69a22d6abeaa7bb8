"""What would another policy have shown, at each place, with which chance?

A policy is a ranker and a way of drawing a list from its scores. At an impression it is asked what
the live system would be asked at that moment: on the user's state just before, with the counters of
that moment, about candidates that the recall sources propose, or about all items known by then.
Caps of categories and places for new items are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.events import Impression
from featurestore.keys import item_keys
from featurestore.state import UserState
from models.online.retrieval import Query, Questions, score
from models.policies.exploration import ExplorationConfig
from models.policies.off_policy import OffPolicyRefused
from models.policies.place_chances import DrawnList, EpsilonGreedy
from models.rankers.registry import RANKERS, new_ranker
from models.rankers.slate_ranker import SlateRanker
from streams.config import Config
from streams.pipeline.composition import build_featurer, build_list_builder, build_scorer
from streams.pipeline.list_requests import ListRequest, Trigger
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked, queries_of
from streams.pipeline.stopwatch import NoLaps

UNIFORM: Final = "uniform"
"""The policy that draws every list at random from the candidates, and needs no ranker."""
POLICIES: Final = (UNIFORM, *sorted(RANKERS))

CandidateSet = Literal["recall", "all"]
MAX_CANDIDATES: Final = 5_000
_PARTITION: Final = 0


class Opinion(NamedTuple):
    """What policies would have done at one impression of K shown items.

    Attributes:
        keys: uint64[N], the candidates.
        positions: int64[K], where the items were shown.
        of_shown: By policy float64[K], the chance of each item at its position.
        of_all: By policy float64[K, N], the chance of each candidate at each of the positions.
    """

    keys: npt.NDArray[np.uint64]
    positions: npt.NDArray[np.int64]
    of_shown: dict[str, npt.NDArray[np.float64]]
    of_all: dict[str, npt.NDArray[np.float64]]


class Targets:
    """The policies to be evaluated; their rankers learn until `freeze`."""

    def __init__(
        self,
        names: tuple[str, ...],
        drawn: DrawnList,
        config: Config,
        live: LiveModels,
        *,
        candidates: CandidateSet,
    ) -> None:
        """Begin with rankers that have learned nothing.

        Args:
            names: Among `POLICIES`.
            drawn: How each ranker's list is drawn.
            config: Of the features, the recall and the rankers' seed.
            live: The models, as they are at each moment.
            candidates: What the policies choose from.
        """
        shape = config.slate_shape()
        self._names = names
        self._rankers: dict[str, SlateRanker] = {
            name: new_ranker(name, shape, seed=config.evaluation.model_seed)
            for name in names
            if name != UNIFORM
        }
        self._is_frozen = False
        self._drawn = drawn
        self._live = live
        self._table = config.action_table()
        self._featurer = build_featurer(config, live)
        # Neither logged candidates nor drawn lists are of use here.
        quick = replace(
            config,
            ranking=replace(config.ranking, slate_sample_rate=0.0),
            exploration=ExplorationConfig(),
        )
        self._builder = build_list_builder(quick, build_scorer(quick, live))
        self._choose: Callable[[ListRequest, Query], tuple[Questions, npt.NDArray[np.float32]]]
        self._choose = self._recalled if candidates == "recall" else self._known

    def learn(
        self,
        relevance: npt.NDArray[np.integer],
        examination: npt.NDArray[np.integer],
        labels: npt.NDArray[np.bool_],
        watch_times: npt.NDArray[np.float64],
    ) -> None:
        """Teach every ranker a slate whose clicks are known; nothing once they are fixed."""
        if self._is_frozen:
            return
        for ranker in self._rankers.values():
            ranker.learn(relevance, examination, labels, watch_times)

    def freeze(self) -> None:
        """Train what is trained in batches; the policies are fixed from now on."""
        for name, ranker in self._rankers.items():
            self._rankers[name] = ranker.refresh() or ranker
        self._is_frozen = True

    def ask(self, event: Impression, state: UserState, offset: int) -> Opinion:
        """Return what the policies would have shown instead, before the event is taken in.

        Args:
            event: What was shown.
            state: Of its user, just before.
            offset: Of the event.
        """
        asked = Asked(event.user_id, state, max(event.ts_ms, state.clock_ms), event.context)
        num_previous = self._live.online.num_previous
        (query,) = queries_of([asked], self._live, table=self._table, num_previous=num_previous)
        trigger = Trigger(event.event_id, event.context)
        request = ListRequest(event.user_id, state, _PARTITION, offset, trigger)
        questions, scores = self._choose(request, query)
        places = np.array([shown.position for shown in event.items], np.int64)
        keys = self._live.online.vocabulary.keys[questions.codes]
        at = self._where(event, questions)
        of_all = {
            name: chances_KN[places - 1]
            for name, chances_KN in self._chances(asked, questions, scores, places).items()
        }
        of_shown = {
            name: np.where(at >= 0, chances_KN[np.arange(len(at)), at], 0.0)
            if len(questions)
            else np.zeros(len(at))
            for name, chances_KN in of_all.items()
        }
        return Opinion(keys, places, of_shown, of_all)

    def _chances(
        self,
        asked: Asked,
        questions: Questions,
        scores: npt.NDArray[np.float32],
        places: npt.NDArray[np.int64],
    ) -> Mapping[str, npt.NDArray[np.float64]]:
        """Chance of each candidate at every place down to the last shown one, by policy."""
        num_places, nothing_KN = int(places.max()), np.zeros((int(places.max()), len(questions)))
        if not len(questions):
            return dict.fromkeys(self._names, nothing_KN)
        chances = {}
        if self._rankers:
            slates = self._featurer.candidates(questions, self._live)
            relevance = self._featurer.features([asked], slates, scores, self._live).relevance
            for name, ranker in self._rankers.items():
                chances[name] = self._drawn.chances(ranker.scores(relevance), num_places)
        if UNIFORM in self._names:
            uniform = EpsilonGreedy(1.0)
            chances[UNIFORM] = uniform.chances(np.zeros(len(questions)), num_places)
        return chances

    def _where(self, event: Impression, questions: Questions) -> npt.NDArray[np.int64]:
        """Which candidate each shown item is; -1 for one that is none."""
        keys = item_keys([shown.item_id for shown in event.items])
        codes = self._live.online.vocabulary.codes(keys.tolist())
        index = {code: place for place, code in enumerate(questions.codes.tolist())}
        return np.array([index.get(code, -1) for code in codes.tolist()], np.int64)

    def _recalled(
        self, request: ListRequest, query: Query
    ) -> tuple[Questions, npt.NDArray[np.float32]]:
        (listing,), _ = self._builder.build(
            [[request]], [query], self._live, computed_at_ms=0, laps=NoLaps()
        )
        candidates = listing.ranked[0].candidates
        return candidates.asked, candidates.scores

    def _known(
        self, _request: ListRequest, query: Query
    ) -> tuple[Questions, npt.NDArray[np.float32]]:
        self._live.follow()
        codes = np.flatnonzero(self._live.online.vocabulary.keys)
        if len(codes) > MAX_CANDIDATES:
            raise OffPolicyRefused(
                f"found {len(codes)} items known by now, expected at most {MAX_CANDIDATES} to "
                "choose from at each impression; take --candidates recall"
            )
        questions = Questions.of_one(query, codes.astype(np.int32))
        return questions, score(self._live.sources, questions)
