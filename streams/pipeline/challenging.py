"""What would the lists have been with the bundle that challenges the one in use?

Computed for a share of the lists, and logged beside them: the learner then sees which of the two
bundles foresaw what the user did next. Nobody is shown the challenger's list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.log_scores import log_chances
from models.online.retrieval import Query
from streams.pipeline.list_requests import Listing, ListRequest, RivalLists
from streams.pipeline.listing import ListBuilder
from streams.pipeline.live import TRANSFORMER, LiveModels
from streams.pipeline.queries import Asked
from streams.pipeline.recommending import Ranked, listed_of


def challenge(
    wanted: Sequence[Sequence[ListRequest]],
    listings: Sequence[Listing],
    builder: ListBuilder,
    queries_of: Callable[[Sequence[Asked], LiveModels], list[Query]],
    live: LiveModels,
) -> None:
    """Add to the listings what both bundles made of the moments that are to be compared.

    Args:
        wanted: The requests of each group.
        listings: What they led to; their `rivals` are filled.
        builder: Of lists.
        queries_of: What the sources of given models know at given moments.
        live: The models; without a challenger nothing is done.
    """
    challenger = live.challenger
    chosen = [
        (request, ranked, listing)
        for requests, listing in zip(wanted, listings, strict=True)
        for request, ranked in zip(requests, listing.ranked, strict=True)
        if builder.is_compared(request)
    ]
    if challenger is None or not chosen:
        return
    requests = [request for request, _, _ in chosen]
    queries = queries_of([request.asked() for request in requests], challenger)
    theirs = builder.ranked(requests, queries, challenger)
    for (request, ranked, listing), their_ranked in zip(chosen, theirs, strict=True):
        pair = ranked, their_ranked
        if all(len(one.candidates) for one in pair):
            listing.rivals[request.offset] = _rivals(*pair, builder, live, challenger)


def _rivals(
    mine: Ranked, theirs: Ranked, builder: ListBuilder, live: LiveModels, challenger: LiveModels
) -> RivalLists:
    codes_N = np.union1d(mine.candidates.codes, theirs.candidates.codes)
    log_chances_N2 = np.full((len(codes_N), 2), -np.inf, np.float32)
    gains_N2 = np.zeros((len(codes_N), 2), np.float32)
    column_of_bundle = [source.name for source in live.sources].index(TRANSFORMER)
    for column, (ranked, models) in enumerate(((mine, live), (theirs, challenger))):
        rows = np.searchsorted(codes_N, ranked.candidates.codes)
        log_chances_N2[rows, column] = log_chances(builder.logits(ranked, models))
        gains_N2[rows, column] = _gains(ranked.candidates.scores[:, column_of_bundle])
    item_id = live.online.vocabulary.item_id
    return RivalLists(
        challenger=challenger.bundle or "",
        item_ids=[item_id(code) for code in codes_N.tolist()],
        log_chances_N2=log_chances_N2,
        gains_N2=gains_N2,
        listed=listed_of(mine, live),
        challenger_listed=listed_of(theirs, live),
    )


def _gains(scores_N: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Reciprocal ranks, from the best; of equals all rank last, as for the trainer's gate."""
    known = np.sort(scores_N[~np.isnan(scores_N)])
    ranks_N = len(known) - np.searchsorted(known, scores_N, side="left")
    return np.where(np.isnan(scores_N), 0.0, 1 / np.maximum(ranks_N, 1))
