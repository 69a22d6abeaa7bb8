"""A model of a finished log as a source: what it proposes, what is missing, and on which scale."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.encoder_inputs import ActionSequence
from models.recommender import UserSequence
from models.recommender_source import RecommenderSource
from models.retrieval import Query, Questions
from models.side_features import SideFeatures
from models.vocabulary import Vocabulary, VocabularyConfig

NOW_MS = 600_000


class Fixed:
    """A model that scores "d" far above "c", "b" and "a", and keeps what it was asked."""

    side = SideFeatures(context=("device", "hour"))

    def __init__(self) -> None:
        self.item_ids = ["a", "b", "c", "d"]
        self.joined: list[tuple[int, ...]] = []
        self.asked: list[UserSequence] = []

    def join(self, item_id: str, attributes: tuple[int, ...]) -> bool:
        if attributes and item_id not in self.item_ids:
            self.item_ids.append(item_id)
        self.joined += [attributes] * bool(attributes)
        return bool(attributes)

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        self.asked += sequences
        scores = np.array([1, 2, 3, 1e6, 2.5][: len(self.item_ids)], np.float32)
        return np.tile(scores, (len(sequences), 1))


class Made:
    """The source; its vocabulary has an item that the model lacks, and lacks one that it has."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary(VocabularyConfig(max_items=4, retire_share=0.25))
        for item_id in ("new", "a", "b", "c"):
            self.meet(item_id)
        self.model = Fixed()
        self.attributes: dict[str, tuple[int, ...]] = {}
        self.source = RecommenderSource(
            "als",
            self.model,
            self.vocabulary,
            key_of=ord_of,
            attributes_of=lambda item_id: self.attributes.get(item_id, ()),
        )
        self.source.follow()

    def meet(self, item_id: str, now_ms: int = 0) -> None:
        self.vocabulary.add(item_id, ord_of(item_id), now_ms)

    def proposed(self, num: int) -> list[str]:
        self.source.follow()
        (found,) = self.source.recall([query("a")], num)
        return self.names(found)

    def names(self, codes: npt.NDArray[np.integer]) -> list[str]:
        return [self.vocabulary.item_id(code) for code in codes.tolist()]


def ord_of(item_id: str) -> int:
    return ord(item_id[-1])


def query(*item_ids: str) -> Query:
    positives = ActionSequence(
        keys=np.array([ord_of(item_id) for item_id in item_ids], np.uint64),
        actions=np.arange(1, 1 + len(item_ids), dtype=np.uint8),
        times_s=100 + np.arange(len(item_ids)),
        user=7,
    )
    return Query(now_ms=NOW_MS, positives=positives)


def test_items_with_a_code_are_proposed_best_first() -> None:
    made = Made()

    assert made.proposed(2) == ["c", "b"]
    assert made.proposed(9) == ["c", "b", "a"]
    assert made.proposed(0) == []


def test_what_the_user_has_acted_upon_is_proposed_only_where_it_is_listed() -> None:
    made = Made()
    source = RecommenderSource("als", made.model, made.vocabulary, key_of=ord_of, repeats=False)
    source.follow()
    asked = [query("c", "new"), query("a"), query("c")]

    found = [made.names(codes) for codes in source.recall(asked, 2)]
    scores = source.score(Questions.of_one(asked[0], made.vocabulary.codes([ord_of("c")])))

    assert found == [["b", "a"], ["c", "b"], ["b", "a"]]
    assert made.names(made.source.recall([query("c")], 1)[0]) == ["c"]
    assert not np.isnan(scores).any(), "other sources may propose it, and it is shown"


def test_an_item_is_proposed_as_soon_as_it_has_a_code_and_no_longer_when_it_retires() -> None:
    made = Made()

    made.vocabulary.retire()
    made.meet("d", now_ms=5)

    assert made.proposed(1) == ["d"]
    assert "new" not in made.proposed(9)


def test_scores_are_of_one_scale_and_missing_where_the_model_does_not_know_the_item() -> None:
    made = Made()
    codes = made.vocabulary.codes([ord_of(item_id) for item_id in ("c", "new", "a")])

    scores = made.source.score(Questions.of_one(query("b"), codes))

    own = np.array([1, 2, 3, 1e6])
    z = (own - own.mean()) / own.std()
    expected = np.sign(z) * np.log1p(np.abs(z))
    np.testing.assert_allclose(scores, [expected[2], np.nan, expected[0]], rtol=1e-5)


def test_nothing_is_said_of_users_of_whom_the_model_knows_no_item() -> None:
    made = Made()
    codes = made.vocabulary.codes([ord_of("a")])

    for unknown in (query(), query("new"), Query(now_ms=NOW_MS)):
        assert made.source.recall([unknown], 3)[0].size == 0
        assert np.isnan(made.source.score(Questions.of_one(unknown, codes))).all()
    assert made.model.asked == []


def test_the_model_is_asked_once_a_query_and_about_one_user_at_a_time() -> None:
    made = Made()
    first, second = query("b", "new", "c"), query("a")
    asked = Questions(
        queries=[first, second],
        codes=made.vocabulary.codes([ord_of("a"), ord_of("b")]),
        sizes=np.array([1, 1]),
    )

    made.source.recall([first, second], 2)
    made.source.score(asked)

    one, other = made.model.asked
    assert one.items.tolist() == [1, -1, 2]
    assert one.actions.tolist() == [1, 2, 3]
    assert one.times_s.tolist() == [100, 101, 102]
    assert (one.user, one.now_s) == (7, 600)
    assert other.items.tolist() == [0]


def test_the_model_is_asked_with_the_context_of_the_event_in_its_own_codes() -> None:
    made = Made()
    now_ms = 7 * 3_600_000

    asked = replace(query("a"), now_ms=now_ms, context={"device": "mobile", "os": "x"})
    made.source.recall([asked], 1)

    (sequence,) = made.model.asked
    assert sequence.contexts == made.model.side.context_codes({"device": "mobile"}, now_ms // 1000)
    assert sequence.contexts[1] == 8


def test_an_item_joins_once_the_catalogue_describes_it_and_has_a_code() -> None:
    made = Made()
    made.attributes["new"] = (7,)

    # Its code is older than its record.
    assert made.proposed(9) == ["c", "b", "a"]
    made.source.put("new")
    made.source.put("never met")
    assert made.proposed(9) == ["c", "new", "b", "a"]
    made.attributes["new"] = (8,)
    made.source.put("new")
    made.source.put("a")
    assert made.proposed(9) == ["c", "new", "b", "a"]
    assert made.model.joined == [(7,), (8,)]


def test_a_described_item_joins_with_its_code_and_comes_back_after_it_was_retired() -> None:
    made = Made()
    made.vocabulary = Vocabulary(VocabularyConfig(max_items=4, retire_share=0.25))
    made.attributes["new"] = (7,)
    made.source = RecommenderSource(
        "als",
        made.model,
        made.vocabulary,
        key_of=ord_of,
        attributes_of=lambda item_id: made.attributes.get(item_id, ()),
    )
    made.meet("new")
    made.meet("a", now_ms=1)
    assert made.proposed(9) == ["new", "a"]

    for place, item_id in enumerate(("b", "c")):
        made.meet(item_id, now_ms=2 + place)
    made.vocabulary.retire()
    assert made.proposed(9) == ["c", "b", "a"]
    made.meet("new", now_ms=9)
    assert made.proposed(9) == ["c", "new", "b", "a"]
    assert made.model.joined == [(7,)]
