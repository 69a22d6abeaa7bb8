"""What do sources and heads say of what is shown and of what is to be ranked?

Shown items get the very numbers that they would have got as candidates at that moment: both are
scored and featured in one go. A call of numpy costs as much as a few hundred items.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.choice_features import ChoiceFeatures
from featurestore.features import SlateFeatures
from models.online.ftrl import sigmoid
from models.online.rerank_features import rerank_features
from models.online.retrieval import Candidates, Proposals, score
from models.rankers.registry import SERVABLE_RANKERS
from streams.heads import CHOICE, CLICK, RERANKER, SOURCE_ORDER, Head
from streams.pipeline.choosing import ChoiceFeaturer
from streams.pipeline.featuring import Featurer
from streams.pipeline.list_requests import Shown, ShownFeatures
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked
from streams.sections import RankingConfig


class Seen(NamedTuple):
    """What is known of a batch's items.

    Attributes:
        of_shown: Of each impression, what the heads will learn from.
        candidates: What is to be ranked, N items.
        features_NF: float32, the re-ranker's inputs of the candidates.
        scores_N: float64, by which they are to be ordered.
    """

    of_shown: list[ShownFeatures]
    candidates: Candidates
    features_NF: npt.NDArray[np.float32]
    scores_N: npt.NDArray[np.float64]


class Scorer:
    """The heads, and what each of them sees."""

    def __init__(
        self, ranking: RankingConfig, featurer: Featurer, choices: ChoiceFeaturer | None
    ) -> None:
        """Compose them.

        Args:
            ranking: Says which head orders.
            featurer: Of the click head.
            choices: Of the choice head; None where it is not in use.
        """
        self._head: Head = ranking.head
        self._featurer = featurer
        self._choices = choices

    def see(
        self, shown: Shown, asked: Sequence[Asked], proposals: Proposals, live: LiveModels
    ) -> Seen:
        """Score and feature what was shown, and what is proposed to those who ask."""
        num_shown = shown.num_items
        slates = of_shown = self._featurer.shown(shown.events, shown.queries, live)
        if asked:
            slates = of_shown.then(self._featurer.candidates(proposals.asked, live))
        moments = [*shown.asked, *asked]
        scores = score(live.sources, slates.questions)
        clicks = None
        # Every impression teaches p(click); of candidates only who ranks by it must know it.
        if live.ranker is not None or CLICK in (self._head, *live.online.config.heads):
            clicks = self._featurer.features(moments, slates, scores, live)
        elif num_shown:
            clicks = self._featurer.features(shown.asked, of_shown, scores[:num_shown], live)
        choices = None if self._choices is None else self._choices.of(moments, slates, live)
        log_odds = self._log_odds(clicks, choices, live)
        ranks = np.concatenate((np.zeros((num_shown, scores.shape[1]), np.int32), proposals.ranks))
        features_NF = rerank_features(
            Candidates(asked=slates.questions, scores=scores, ranks=ranks),
            [log_odds[name] for name in live.online.config.heads],
        )
        if live.ranker is None or clicks is None:
            scores_N = self._scores(features_NF, log_odds, live)[num_shown:]
        else:
            relevance = clicks.relevance[num_shown:]
            scores_N = live.ranker.scores(relevance, proposals.asked.sizes)
        return Seen(
            of_shown=[] if clicks is None else _of_shown(shown, clicks, choices, features_NF),
            candidates=Candidates(
                asked=proposals.asked, scores=scores[num_shown:], ranks=proposals.ranks
            ),
            features_NF=features_NF[num_shown:],
            scores_N=scores_N,
        )

    def orders(
        self, asked: Sequence[Asked], candidates: Candidates, live: LiveModels
    ) -> dict[str, npt.NDArray[np.float64]]:
        """What each head says of candidates, whether or not it orders: float64[N] by its name.

        `source_order` is the tuned one, in use until the re-ranker has learned a better one.
        """
        online = live.online
        slates = self._featurer.candidates(candidates.asked, live)
        clicks = choices = None
        if online.click.evidence > 0 or CLICK in online.config.heads:
            clicks = self._featurer.features(asked, slates, candidates.scores, live)
        if self._choices is not None:
            choices = self._choices.of(asked, slates, live)
        log_odds = self._log_odds(clicks, choices, live)
        features_NF = rerank_features(candidates, [log_odds[name] for name in online.config.heads])
        return {
            RERANKER: online.reranker.learned(features_NF),
            SOURCE_ORDER: online.reranker.tuned(features_NF),
            **log_odds,
        }

    def head_in_use(self, live: LiveModels) -> str:
        """What orders lists: the configured head, or the re-ranker while its bundle is missing."""
        is_there = self._head not in SERVABLE_RANKERS or live.ranker is not None
        return self._head if is_there else RERANKER

    def logits(
        self, scores_N: npt.NDArray[np.float64], live: LiveModels
    ) -> npt.NDArray[np.float64]:
        """What of a list's scores adds up with noise: log-odds, or the log of a chance or time."""
        if self._head != CLICK and (live.ranker is None or live.ranker.is_logit):
            return scores_N
        return np.log(np.maximum(scores_N, np.finfo(np.float64).tiny))

    def _scores(
        self,
        features_NF: npt.NDArray[np.float32],
        log_odds: dict[str, npt.NDArray[np.float64]],
        live: LiveModels,
    ) -> npt.NDArray[np.float64]:
        """What a head of the seconds clock orders by, float64[N]."""
        match self._head:
            case "click":
                return sigmoid(log_odds[CLICK])
            case "choice":
                return log_odds[CHOICE]
            case _:
                return live.online.reranker.utilities(features_NF)

    def _log_odds(
        self, clicks: SlateFeatures | None, choices: ChoiceFeatures | None, live: LiveModels
    ) -> dict[str, npt.NDArray[np.float64]]:
        log_odds = {}
        if clicks is not None:
            log_odds[CLICK] = live.online.click.logits(clicks.relevance)
        if choices is not None and live.online.choice is not None:
            log_odds[CHOICE] = live.online.choice.utilities(*choices)
        return log_odds


def _of_shown(
    shown: Shown,
    clicks: SlateFeatures,
    choices: ChoiceFeatures | None,
    features_NF: npt.NDArray[np.float32],
) -> list[ShownFeatures]:
    sizes = [len(event.items) for event in shown.events]
    ends = list(accumulate(sizes))
    parts = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    return [
        ShownFeatures(
            click=of_clicks,
            choice=None if choices is None else choices.part(part),
            rerank_NF=features_NF[part],
        )
        for of_clicks, part in zip(clicks.parts(sizes), parts, strict=True)
    ]
