"""Train = serve: shown items get the numbers that they would have got as candidates."""

import pytest

from featurestore.events import Impression, ItemId, ShownItem, UserId
from featurestore.features import SlateFeatures
from featurestore.keys import item_keys
from models.online.retrieval import Questions, score
from streams.pipeline.featuring import Featurer, Slates
from streams.pipeline.queries import Asked, queries_of
from tests.streams.stream_events import START_MS, click
from tests.streams.taught import Line, config, item, live_models, put_items

SEQUENCES = [["a", "b", "c", "d"], ["a", "b", "d"], ["c", "d", "e"], ["b", "f"], ["a", "g"]]
U1 = UserId("u1")


def impression(*items: ShownItem) -> Impression:
    return Impression(
        event_id="e", user_id=U1, ts_ms=START_MS, items=items, context={"device": "phone"}
    )


class Moment:
    """One user's moment before models that know a few items and a catalogue with prices."""

    def __init__(self) -> None:
        settings = config()
        self.line = Line(settings, live_models(settings, SEQUENCES))
        self.live = self.line.live
        put_items(
            self.live,
            *(
                item(name, attributes={"price": 10.0 * place}, categories=("k",))
                for place, name in enumerate("abcdefg", start=1)
            ),
        )
        self.line.take(click("u1", "a", START_MS - 5000), click("u1", "b", START_MS - 1000))
        self.featurer: Featurer = self.line.pipeline._builder._scorer._featurer
        self.asked = Asked(U1, self.line.states[U1], START_MS, {"device": "phone"})
        (self.query,) = queries_of(
            [self.asked], self.live, table=settings.action_table(), num_previous=3
        )

    def features(self, slates: Slates) -> SlateFeatures:
        scores = score(self.live.sources, slates.questions)
        asked = [self.asked] * len(slates.questions.queries)
        return self.featurer.features(asked, slates, scores, self.live)

    def shown(self, *items: ShownItem) -> list[list[int]]:
        features = self.features(self.featurer.shown([impression(*items)], [self.query], self.live))
        assert features.examination.shape == (len(items), self.featurer.layout.examination_width)
        matrix: list[list[int]] = features.relevance.tolist()
        return matrix

    def candidates(self, *names: str) -> Slates:
        self.live.follow()
        codes = self.live.online.vocabulary.codes(item_keys(names).tolist())
        return self.featurer.candidates(Questions.of_one(self.query, codes), self.live)

    def ranked(self, *names: str) -> list[list[int]]:
        features = self.features(self.candidates(*names))
        assert features.examination.shape == (0, self.featurer.layout.examination_width)
        matrix: list[list[int]] = features.relevance.tolist()
        return matrix


def slot(name: str, position: int, **features: float) -> ShownItem:
    return ShownItem(item_id=ItemId(name), position=position, features=features or None)


def test_a_shown_slate_has_the_features_of_the_same_items_as_candidates() -> None:
    moment = Moment()
    names = "gabdf"

    shown = moment.shown(*(slot(name, place) for place, name in enumerate(names, start=1)))

    assert shown == moment.ranked(*names)


def test_positions_change_nothing_that_ranking_sees() -> None:
    moment = Moment()

    assert moment.shown(slot("a", 1), slot("g", 2)) == moment.shown(slot("a", 30), slot("g", 7))


def test_a_price_of_the_event_wins_over_the_catalogues() -> None:
    moment = Moment()
    plain = moment.shown(slot("c", 1), slot("d", 2), slot("e", 3))

    same = moment.shown(slot("c", 1, price=30.0), slot("d", 2, price=40.0), slot("e", 3))
    other = moment.shown(slot("c", 1, price=99.0), slot("d", 2, price=40.0), slot("e", 3))

    assert same == plain
    assert other != plain


def test_an_item_that_nobody_knows_has_features_too() -> None:
    moment = Moment()

    (features,) = moment.shown(slot("never heard of", 1))

    assert len(features) == moment.featurer.layout.relevance_width
    assert max(features) < moment.featurer.layout.num_weights


@pytest.mark.parametrize("name", ["a", "g"])
def test_an_items_own_columns_do_not_depend_on_its_slate(name: str) -> None:
    moment = Moment()
    layout = moment.featurer.layout
    relative = [
        place
        for place, column in enumerate(layout.names[: layout.relevance_width])
        if any(word in column for word in ("percentile", "rank", ".to_", "slate"))
    ]

    (alone,) = moment.ranked(name)
    within = moment.ranked(*"bcdef", name)[-1]

    differing = [place for place in range(len(alone)) if alone[place] != within[place]]
    assert set(differing) <= set(relative)


def test_slates_of_a_batch_have_the_features_that_each_has_alone() -> None:
    moment = Moment()
    events = [
        impression(slot("g", 1), slot("a", 2), slot("never heard of", 3)),
        impression(),
        impression(slot("b", 1, price=3.0)),
        impression(*(slot(name, place) for place, name in enumerate("fedcba", start=1))),
    ]
    alone = [
        moment.features(moment.featurer.shown([event], [moment.query], moment.live))
        for event in events
    ]

    batch = moment.featurer.shown(events, [moment.query] * 4, moment.live)
    together = moment.features(batch.then(moment.candidates(*"gcab")))

    of_batch = together.parts([len(event.items) for event in events])
    for one, other in zip(alone, of_batch, strict=True):
        assert other.relevance.tolist() == one.relevance.tolist()
        assert other.examination.tolist() == one.examination.tolist()
    assert together.relevance[len(batch) :].tolist() == moment.ranked(*"gcab")
    assert len(together.examination) == len(batch)
