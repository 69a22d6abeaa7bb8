from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.events import Action, Event, Visit
from streams.convert import movielens_events, movielens_items

LOG = Path("../shared/data/ml-100k")


def summary(events: list[Event]) -> list[tuple[int, str, str, float | None]]:
    return [
        (event.ts_ms, event.user_id, event.item_id or "", event.value)
        if isinstance(event, Action)
        else (event.ts_ms, event.user_id, "visit", None)
        for event in events
    ]


HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
EXPECTED = [
    (100_000, "9", "visit", None),
    (100_000, "9", "4", 5.0),
    (100_000, "9", "2", 3.0),
    (1_900_000, "9", "7", 1.0),
    (3_701_000, "9", "visit", None),
    (3_701_000, "9", "8", 4.0),
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "ml-100k.inter",
            HEADER + "9\t8\t4\t3701\n9\t4\t5\t100\n9\t2\t3\t100\n9\t7\t1\t1900\n",
        ),
        ("u.data", "9\t8\t4\t3701\n9\t4\t5\t100\n9\t2\t3\t100\n9\t7\t1\t1900\n"),
        ("ratings.dat", "9::8::4::3701\n9::4::5::100\n9::2::3::100\n9::7::1::1900\n"),
    ],
)
def test_reads_each_form_of_the_ratings(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)

    assert summary(list(movielens_events(tmp_path))) == EXPECTED


def test_ratings_without_timestamps_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1 2\n")

    with pytest.raises(ValueError, match="without timestamps"):
        list(movielens_events(tmp_path / "pairs.txt"))


RATINGS = "9\t8\t4\t3701\n7\t4\t5\t100\n"
USER_HEADER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
ITEM_HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ml-100k.user", USER_HEADER + "9\t24\tM\ttechnician\t85711\n"),
        ("u.user", "9|24|M|technician|85711\n"),
        ("users.dat", "9::M::25::technician::85711\n"),
    ],
)
def test_what_is_told_of_a_user_is_the_context_of_the_users_events(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / "u.data").write_text(RATINGS)
    (tmp_path / name).write_text(content)

    contexts = {str(event.user_id): event.context for event in movielens_events(tmp_path)}

    assert contexts["9"] == {"age_group": "20s", "gender": "M", "occupation": "technician"}
    assert contexts["7"] is None


@pytest.mark.parametrize(
    ("name", "content", "attributes"),
    [
        (
            "ml-100k.item",
            ITEM_HEADER + "4\tToy Story\t1995\tAnimation Children's\n",
            {"year": "1995"},
        ),
        ("movies.dat", "4::Toy Story::Animation|Children's\n", None),
    ],
)
def test_genres_are_the_categories_of_the_catalogue(
    tmp_path: Path, name: str, content: str, attributes: dict[str, str] | None
) -> None:
    (tmp_path / "u.data").write_text(RATINGS)
    (tmp_path / name).write_text(content)

    (item,) = movielens_items(tmp_path / "u.data")

    assert (item.item_id, item.title) == ("4", "Toy Story")
    assert item.categories == ("Animation", "Children's")
    assert item.attributes == attributes


def test_a_folder_that_tells_nothing_of_films_is_refused(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text(RATINGS)

    with pytest.raises(ValueError, match=r"expected ml-100k\.item or movies\.dat"):
        list(movielens_items(tmp_path))


def test_a_folder_without_ratings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no ratings.*u\.data"):
        list(movielens_events(tmp_path))


@pytest.mark.skipif(not LOG.exists(), reason=f"the real log {LOG} is not here")
def test_the_real_log_keeps_every_rating() -> None:
    events = list(movielens_events(LOG))

    assert sum(isinstance(event, Action) for event in events) == 100_000
    assert sum(isinstance(event, Visit) for event in events) >= 943
    assert [event.ts_ms for event in events] == sorted(event.ts_ms for event in events)
    assert all(event.context for event in events)
    items = list(movielens_items(LOG))
    assert len(items) == 1682
    assert sum(bool(item.categories) for item in items) >= 1680
