"""Which models does a worker compute with at this moment?

One mutable place, changed by the readers of deltas, items and announcements between two chunks
only: a chunk is computed in one go, without giving the event loop back, so everything in it sees
the same models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from featurestore.catalogue import UNKNOWN, Catalogue
from featurestore.events import CatalogueItem, ItemId
from featurestore.keys import item_key
from featurestore.lists import RERANKER, ModelVersions
from models.bundle import Bundle
from models.encoder import BUNDLE_KIND, SequenceEncoder
from models.online.online_models import OnlineModels
from models.online.retrieval import Query, Questions, Source
from models.online.vocabulary import Vocabulary
from models.rankers.ranker_bundle import RANKER_PREFIX, ServedRanker
from models.rankers.registry import SERVABLE_RANKERS
from models.recommender import KIND_PREFIX
from models.recommender_source import RecommenderSource
from models.served import load_served
from models.transformer_source import TransformerSource
from streams.announcements import DIGEST_CHARS
from streams.pipeline.encoded_users import EncodedUsers
from streams.pipeline.newcomers import Newcomers

TRANSFORMER: Final = "transformer"


def kind_of_model(name: str) -> str:
    """Return the kind of the bundles that a source or a ranker asks."""
    if name in SERVABLE_RANKERS:
        return RANKER_PREFIX + name
    return BUNDLE_KIND if name == TRANSFORMER else KIND_PREFIX + name


class AbsentSource:
    """Holds a source's column while its model is not there: proposes nothing, knows nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def recall(self, queries: Sequence[Query], num: int) -> list[npt.NDArray[np.integer]]:
        """Nothing."""
        del num
        return [np.empty(0, np.int32)] * len(queries)

    def score(self, asked: Questions) -> npt.NDArray[np.float32]:
        """Missing, for every item."""
        return np.full(len(asked), np.nan, np.float32)


class CatalogueRows:
    """Where each code's item stands in the catalogue; looked up once, not once a list."""

    def __init__(self, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
        self._catalogue = catalogue
        self._vocabulary = vocabulary
        self._keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._rows: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def of_codes(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the rows of items with a code; `follow` must have run since codes changed."""
        rows: npt.NDArray[np.int64] = self._rows[codes]
        return rows

    def follow(self) -> None:
        """Look up the codes that were given to another item since."""
        keys = self._vocabulary.keys
        if len(keys) > len(self._keys):
            num_more = len(keys) - len(self._keys)
            self._keys = np.concatenate([self._keys, np.zeros(num_more, np.uint64)])
            self._rows = np.concatenate([self._rows, np.full(num_more, UNKNOWN)])
        changed = np.flatnonzero(keys != self._keys[: len(keys)])
        if changed.size:
            self._keys[changed] = keys[changed]
            self._rows[changed] = self._catalogue.rows_of(keys[changed])

    def put(self, item_id: ItemId) -> None:
        """Look an item up again whose record was put."""
        key = item_key(item_id)
        code = self._vocabulary.code(key)
        if 0 <= code < len(self._rows):
            self._rows[code] = self._catalogue.rows_of(np.array([key], np.uint64))[0]


class BundleSource(Source, Protocol):
    """A source whose items are a bundle's."""

    def follow(self) -> None:
        """Look up what codes were given or retired; to be called before each batch."""

    def put(self, item_id: str) -> None:
        """Note that the catalogue has a new record of an item."""


class Loaded(NamedTuple):
    """A source that a bundle brought.

    Attributes:
        digest: Of the bundle.
        source: What asks it.
    """

    digest: str
    source: BundleSource


class LiveModels:
    """The replica of the online models, the catalogue, and what bundles brought.

    Attributes:
        online: The replica; `headrace evaluate` puts the learner's own models here.
        catalogue: The fold of `items`.
        newcomers: Its newest items that nobody has met.
        rows: Where each code's item stands in it.
        encoder: The transformer's, or None.
        encoded: The same with its latest answers.
        challenger: The same models with the transformer that challenges the current one, or None.
        loaded: What bundles brought, by the source's name.
        ranker: The bundle's that orders lists; None where none is configured or announced.
        sources: All sources, in the order of the columns of scores.
    """

    def __init__(self, online: OnlineModels, catalogue: Catalogue) -> None:
        self.online = online
        self.catalogue = catalogue
        self.newcomers = Newcomers(catalogue, online.vocabulary)
        self.rows = CatalogueRows(catalogue, online.vocabulary)
        self.encoder: SequenceEncoder | None = None
        self.encoded: EncodedUsers | None = None
        self.loaded: Mapping[str, Loaded] = {}
        self.ranker: ServedRanker | None = None
        self.challenger: LiveModels | None = None
        self.sources: tuple[Source, ...] = ()
        self.use(None)

    def use(self, encoder: SequenceEncoder | None) -> None:
        """Serve this transformer from the next chunk on."""
        self.encoder = encoder
        self.encoded = None if encoder is None else EncodedUsers(encoder)
        by_name = {source.name: source for source in self.online.sources}
        self._covisitation = by_name["covisitation"]
        if encoder is None:
            self._put(TRANSFORMER, None)
            return
        source = TransformerSource(
            encoder,
            self.online.vocabulary,
            trending=by_name["trending"],
            covisitation=self._covisitation,
        )
        self._put(TRANSFORMER, Loaded(encoder.bundle.digest, source))

    def serve(self, source: RecommenderSource, digest: str) -> None:
        """Ask another model of a finished log from the next chunk on; the challenger asks it, too.

        Args:
            source: Of a name in `OnlineConfig.bundle_sources`, over `online.vocabulary`.
            digest: Of its bundle.
        """
        self._put(source.name, Loaded(digest, source))
        if self.challenger is not None:
            self.challenger.serve(source, digest)

    def rank_by(self, ranker: ServedRanker) -> None:
        """Order lists by this ranker from the next chunk on; the challenger's, too."""
        self.ranker = ranker
        if self.challenger is not None:
            self.challenger.rank_by(ranker)

    def digest_of(self, name: str) -> str | None:
        """Digest of the bundle that a source or the ranker of this name asks; None without one."""
        if self.ranker is not None and name == self.ranker.name:
            return self.ranker.digest
        return self.loaded[name].digest if name in self.loaded else None

    def _put(self, name: str, loaded: Loaded | None) -> None:
        # Another mapping every time: a challenger begins with a copy.
        others = {one: other for one, other in self.loaded.items() if one != name}
        self.loaded = others if loaded is None else {**others, name: loaded}
        self.sources = (
            *self.online.sources,
            *(
                self.loaded[name].source if name in self.loaded else AbsentSource(name)
                for name in self.online.config.bundle_sources
            ),
        )

    @property
    def asks_sequences(self) -> bool:
        """Whether a source asks about the user's positive actions."""
        return not self.loaded.keys() <= {TRANSFORMER}

    def challenge(self, encoder: SequenceEncoder | None) -> None:
        """Compare lists with those that this transformer would make, from the next chunk on."""
        self.challenger = None
        if encoder is not None:
            # Everything but the transformer is shared.
            challenger = copy(self)
            challenger.use(encoder)
            self.challenger = challenger

    def put_item(self, item: CatalogueItem) -> None:
        """Take a record of `items` into the catalogue."""
        self.catalogue.put(item)
        self.newcomers.put(item)
        self.rows.put(item.item_id)
        for loaded in self.loaded.values():
            loaded.source.put(item.item_id)

    def follow(self) -> None:
        """Look up what has changed since the last batch; to be called before each."""
        self.rows.follow()
        for loaded in self.loaded.values():
            loaded.source.follow()

    def recall_followers(self, queries: Sequence[Query]) -> None:
        """Find in one go what co-visitation lists for a batch: its recall and the bundle ask."""
        if self.encoder is not None:
            self._covisitation.recall(queries, 0)

    def ages_s(
        self,
        rows: npt.NDArray[np.int64],
        codes: npt.NDArray[np.integer],
        now_ms: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """Seconds since each item's publication, or its first appearance where that is unknown.

        Args:
            rows: Of the catalogue.
            codes: Of the vocabulary.
            now_ms: The moment that each item is asked about at.
        """
        appeared = self.online.fresh.ages_ms(codes, now_ms) / 1000
        published = self.catalogue.published_at_ms(rows)
        return np.where(published > 0, np.maximum(now_ms - published, 0) / 1000, appeared)

    @property
    def bundle(self) -> str | None:
        """Short digest of the transformer's bundle."""
        return None if self.encoder is None else self.encoder.bundle.digest[:DIGEST_CHARS]

    def versions(self, config_digest: str, *, head: str = RERANKER) -> ModelVersions:
        """Return what a list names, so that replaying to it gives the same list.

        Args:
            config_digest: Of the configuration.
            head: What ordered it.
        """
        digests = {name: loaded.digest for name, loaded in self.loaded.items()}
        if self.ranker is not None:
            digests[self.ranker.name] = self.ranker.digest
        return ModelVersions(
            online=self.online.offset,
            bundles={name: digest[:DIGEST_CHARS] for name, digest in sorted(digests.items())},
            head=head,
            items=self.catalogue.digest,
            config=config_digest,
        )


def source_of(name: str, bundle: Bundle, live: LiveModels, *, repeats: bool) -> RecommenderSource:
    """Load the model of a finished log as a source over the live vocabulary.

    Changes nothing: `LiveModels.serve` puts it to use.

    Args:
        name: Of the source.
        bundle: Of the model.
        live: Whose vocabulary and catalogue.
        repeats: Whether lists hold what their user has acted upon (not `ranking.skip_acted`).

    Raises:
        BundleRefused: Of a model that is not served live, or not intact.
    """
    model = load_served(bundle)

    def attributes_of(item_id: str) -> tuple[int, ...]:
        item = live.catalogue.get(ItemId(item_id))
        if item is None:
            return ()
        return model.side.attribute_codes(item.categories, item.attributes or {})

    return RecommenderSource(
        name,
        model,
        live.online.vocabulary,
        key_of=item_key,
        attributes_of=attributes_of,
        repeats=repeats,
    )
