"""A model of a finished log as a source: what it proposes, what is missing, and on which scale."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from models.encoder_inputs import ActionSequence
from models.new_items import NewItems
from models.online.retrieval import Query, Questions
from models.online.vocabulary import Vocabulary, VocabularyConfig
from models.recommender import UserSequence
from models.recommender_source import RecommenderSource
from models.side_features import SideFeatures

NOW_MS = 600_000


class Fixed:
    """A model that scores "d" far above "c", "b" and "a", and keeps what it was asked."""

    side = SideFeatures(context=("device", "hour"))
    item_ids = ("a", "b", "c", "d")

    def __init__(self) -> None:
        # Attribute 7 makes a score between those of "b" and "c", 8 one below that of "a".
        attributes_VI = np.zeros((9, 2), np.float32)
        attributes_VI[7], attributes_VI[8] = (1, 0), (0, 1)
        self.new_items: NewItems | None = NewItems(attributes_VI, max_joined=2)
        self.asked: list[UserSequence] = []

    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        self.asked += sequences
        own = np.array([1, 2, 3, 1e6], np.float32)
        if self.new_items is not None:
            own = np.r_[own, self.new_items.vectors_EI @ np.array([2.5, 0.5], np.float32)]
        return np.tile(own, (len(sequences), 1))


class Made:
    """The source; its vocabulary has an item that the model lacks, and lacks one that it has."""

    def __init__(self, *met: str, max_items: int = 4) -> None:
        self.vocabulary = Vocabulary(VocabularyConfig(max_items=max_items, retire_share=0.25))
        for now_ms, item_id in enumerate(met or ("new", "a", "b", "c")):
            self.meet(item_id, now_ms)
        self.attributes: dict[str, tuple[int, ...]] = {}
        self.looked_up: list[str] = []
        self.start()

    def start(self, model: Fixed | None = None) -> None:
        """As a worker does that has the vocabulary and the catalogue of now."""
        self.model = model or Fixed()
        self.source = RecommenderSource(
            "als",
            self.model,
            self.vocabulary,
            key_of=ord_of,
            attributes_of=self.attributes_of,
        )
        self.source.follow()

    def attributes_of(self, item_id: str) -> tuple[int, ...]:
        self.looked_up.append(item_id)
        return self.attributes.get(item_id, ())

    def put(self, item_id: str, *attributes: int) -> None:
        """Let the catalogue have a new record."""
        self.attributes[item_id] = attributes
        self.source.put(item_id)

    def scored(self) -> list[float]:
        """What is said of every code."""
        self.source.follow()
        codes = np.arange(self.vocabulary.num_rows, dtype=np.int32)
        scores: list[float] = self.source.score(Questions.of_one(query("a"), codes)).tolist()
        return scores

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
    # Asked a day after the user's last event, of which models are told.
    return Query(now_ms=NOW_MS + 86_400_000, clock_ms=NOW_MS, positives=positives)


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
    clock_ms = 7 * 3_600_000

    asked = replace(query("a"), clock_ms=clock_ms, context={"device": "mobile", "os": "x"})
    made.source.recall([asked], 1)

    (sequence,) = made.model.asked
    assert sequence.contexts == made.model.side.context_codes(
        {"device": "mobile"}, clock_ms // 1000
    )
    assert sequence.contexts[1] == 8


def test_an_item_joins_once_the_catalogue_describes_it_and_has_a_code() -> None:
    made = Made()

    # Its code is older than its record.
    assert made.proposed(9) == ["c", "b", "a"]
    made.put("new", 7)
    made.put("never met", 7)
    assert made.proposed(9) == ["c", "new", "b", "a"]
    made.put("new", 8)
    made.put("a", 7)
    assert made.proposed(9) == ["c", "b", "a", "new"]


def test_an_item_comes_back_as_it_is_described_then() -> None:
    made = Made("new", "a")
    made.put("new", 7)
    assert made.proposed(9) == ["new", "a"]

    made.meet("b", 2)
    made.meet("c", 3)
    made.vocabulary.retire()
    made.put("new", 8)
    assert made.proposed(9) == ["c", "b", "a"]
    made.meet("new", 9)

    assert made.proposed(9) == ["c", "b", "a", "new"]


def test_an_item_that_is_no_longer_described_is_missing_again() -> None:
    made = Made()
    made.put("new", 7)
    assert not np.isnan(made.scored()).any()

    made.put("new")

    assert made.proposed(9) == ["c", "b", "a"]
    assert np.isnan(made.scored()).tolist() == [True, False, False, False]
    assert made.source.recall([query("new")], 9)[0].size == 0, "nor is a user known by it"


STEPS = st.lists(
    st.tuples(st.sampled_from("abcdpqrst"), st.sampled_from([None, (), (7,), (8,), (7, 8)])),
    max_size=30,
)


@given(STEPS)
def test_who_joins_is_the_same_in_a_process_that_was_there_and_in_one_that_has_just_started(
    steps: list[tuple[str, tuple[int, ...] | None]],
) -> None:
    there = Made("a", max_items=5)
    for now_ms, (item_id, attributes) in enumerate(steps, 1):
        if attributes is not None:
            there.put(item_id, *attributes)
        elif there.vocabulary.code(ord_of(item_id)) < 0 and there.vocabulary.is_full:
            there.vocabulary.retire()
        else:
            there.meet(item_id, now_ms)
        if now_ms % 3:
            there.source.follow()
    scored = there.scored()
    recalled = there.proposed(9)

    there.start()

    np.testing.assert_array_equal(scored, there.scored())
    assert recalled == there.proposed(9)


def test_of_too_many_the_first_codes_join() -> None:
    made = Made("p", "q", "r", "a", "b", max_items=5)
    for item_id in "rqp":
        made.put(item_id, 7)
        made.source.follow()
    assert made.proposed(9) == ["p", "q", "b", "a"]

    made.put("p")

    assert made.proposed(9) == ["q", "r", "b", "a"]


def test_of_a_vocabulary_that_begins_anew_nobody_stays() -> None:
    made = Made("a", "new")
    made.put("new", 7)
    assert made.proposed(9) == ["new", "a"]

    # As a learner's first base does that has lost its state.
    made.vocabulary.table.columns["key"].reset(1)
    made.vocabulary.table.columns["key"].put(0, ord_of("a"))

    made.source.follow()
    assert made.source.recall([query("new")], 9)[0].size == 0


def test_a_retired_item_no_longer_moves_the_scale() -> None:
    made = Made("new", "a", "b", "c")
    never = made.scored()[1:]
    made.put("new", 7)
    assert made.scored()[1:] != never

    made.vocabulary.retire()

    assert made.scored()[1:] == never


def test_for_a_model_that_takes_nobody_in_nothing_is_looked_up() -> None:
    made = Made()
    model = Fixed()
    model.new_items = None
    made.looked_up.clear()
    made.start(model)
    made.put("new", 7)

    assert made.proposed(9) == ["c", "b", "a"]
    assert made.looked_up == []
