"""Train = serve: shown items get the numbers that they would have got as candidates."""

import numpy as np
import pytest

from featurestore.events import Impression, ItemId, ShownItem, UserId
from featurestore.keys import item_keys
from models.retrieval import Candidates, Questions, score
from streams.featuring import Featurer
from streams.queries import Asked, queries_of
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
        self.featurer: Featurer = self.line.pipeline._featurer
        self.asked = Asked(U1, self.line.states[U1], START_MS, {"device": "phone"})
        (self.query,) = queries_of(
            [self.asked], self.live, table=settings.action_table(), num_previous=3
        )

    def shown(self, *items: ShownItem) -> list[list[int]]:
        (features,) = self.featurer.of_impressions(
            [self.asked], [impression(*items)], [self.query], self.live
        )
        assert features.examination.shape == (len(items), self.featurer.layout.examination_width)
        matrix: list[list[int]] = features.relevance.tolist()
        return matrix

    def ranked(self, *names: str) -> list[list[int]]:
        keys = item_keys(names)
        codes = self.live.online.vocabulary.codes(keys.tolist())
        questions = Questions.of_one(self.query, codes)
        candidates = Candidates(
            asked=questions,
            scores=score(self.live.sources, questions),
            ranks=np.zeros((len(codes), len(self.live.sources)), np.int32),
        )
        self.live.follow()
        features = self.featurer.of_candidates([self.asked], candidates, self.live)
        assert features.examination.shape == (len(names), 0)
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
        if "percentile" in column or "to_interacted" in column or column.startswith("slate")
    ]

    (alone,) = moment.ranked(name)
    within = moment.ranked(*"bcdef", name)[-1]

    differing = [place for place in range(len(alone)) if alone[place] != within[place]]
    assert set(differing) <= set(relative)


def test_impressions_of_a_batch_have_the_features_that_each_has_alone() -> None:
    moment = Moment()
    events = [
        impression(slot("g", 1), slot("a", 2), slot("never heard of", 3)),
        impression(),
        impression(slot("b", 1, price=3.0)),
        impression(*(slot(name, place) for place, name in enumerate("fedcba", start=1))),
    ]
    alone = [
        moment.featurer.of_impressions([moment.asked], [event], [moment.query], moment.live)[0]
        for event in events
    ]

    together = moment.featurer.of_impressions(
        [moment.asked] * 4, events, [moment.query] * 4, moment.live
    )

    for one, of_batch in zip(alone, together, strict=True):
        assert of_batch.relevance.tolist() == one.relevance.tolist()
        assert of_batch.examination.tolist() == one.examination.tolist()
