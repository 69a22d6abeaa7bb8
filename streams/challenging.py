"""What would the lists have been with the bundle that challenges the one in use?

Computed for the lists whose candidates are logged, and logged with them: the learner then sees
which of the two lists held what the user did next. Nobody is shown the challenger's list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from models.retrieval import Query
from streams.list_requests import Listing, ListRequest
from streams.listing import ListBuilder
from streams.live import LiveModels
from streams.queries import Asked
from streams.recommending import listed_of


def challenge(
    wanted: Sequence[Sequence[ListRequest]],
    listings: Sequence[Listing],
    builder: ListBuilder,
    queries_of: Callable[[Sequence[Asked], LiveModels], list[Query]],
    live: LiveModels,
) -> None:
    """Add to every logged slate both lists, the one in use and the challenger's.

    Args:
        wanted: The requests of each group.
        listings: What they led to; their slates are replaced.
        builder: Of lists.
        queries_of: What the sources of given models know at given moments.
        live: The models; without a challenger nothing is done.
    """
    challenger = live.challenger
    logged = [
        (request, ranked, listing.slates)
        for requests, listing in zip(wanted, listings, strict=True)
        for request, ranked in zip(requests, listing.ranked, strict=True)
        if request.offset in listing.slates
    ]
    if challenger is None or not logged:
        return
    requests = [request for request, _, _ in logged]
    queries = queries_of([request.asked() for request in requests], challenger)
    theirs = builder.listed(requests, queries, challenger)
    for (request, ranked, slates), challenger_listed in zip(logged, theirs, strict=True):
        slates[request.offset] = replace(
            slates[request.offset],
            challenger=challenger.bundle or "",
            listed=listed_of(ranked, live),
            challenger_listed=challenger_listed,
        )
