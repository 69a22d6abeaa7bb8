"""What do the seconds clock's models cost, per action, per slate and per request?

`python -m benchmarks.online_models` learns a made-up stream and prints CPU times on one core, the
best of several passes: figures are for comparison within one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from river import linear_model, optim

from models.online.click_head import ClickHead, ClickHeadConfig
from models.online.ftrl_classifier import FtrlClassifier
from models.online.online_models import OnlineConfig, OnlineModels
from models.online.rerank_features import rerank_features
from models.online.retrieval import Candidates, Query, RetrievalConfig, propose
from models.ranking import best_first

Slate = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.bool_]]

_NUM_ACTIONS: Final = 60_000
_NUM_ITEMS: Final = 15_000
_NUM_USERS: Final = 5_000
_NUM_QUERIES: Final = 200
_START_MS: Final = 1_700_000_000_000
_SLATE: Final = 20
_BATCH: Final = 16
_NUM_SLATES: Final = 300
_NUM_WEIGHTS: Final = 5_000
_NUM_FEATURES: Final = (28, 4)


def main() -> None:
    """Measure and print."""
    models, histories = _learned()
    queries = [
        Query(
            now_ms=_START_MS + _NUM_ACTIONS * 100,
            previous=models.vocabulary.codes(history[-3:][::-1]).tolist(),
            context_rows=models.contexts.rows({"device": "phone", "region": "r1"}),
            session_num_actions=1,
        )
        for history in histories[:_NUM_QUERIES]
    ]
    config = RetrievalConfig()

    def candidates(some: list[Query]) -> Candidates:
        return propose(models.sources, some, config).scored(models.sources)

    slates = [candidates([query]) for query in queries]
    features = [rerank_features(slate) for slate in slates]
    mean = sum(map(len, slates)) / len(slates)
    _report(
        f"recall and score {mean:.0f} candidates by {len(models.sources)} sources",
        lambda: [candidates([_anew(query)]) for query in queries],
        len(queries),
    )
    _report(
        f"the same, {_BATCH} users together",
        lambda: [
            candidates([_anew(query) for query in queries[at : at + _BATCH]])
            for at in range(0, len(queries), _BATCH)
        ],
        len(queries),
    )
    _report(
        "features and order by the re-ranker",
        lambda: [best_first(models.reranker.utilities(rerank_features(slate))) for slate in slates],
        len(queries),
    )

    def learn_slates() -> None:
        for slate in features:
            models.reranker.learn(slate, 0)

    _report("learn a slate of candidates", learn_slates, len(queries))
    _clicks()


def _learned() -> tuple[OnlineModels, list[list[int]]]:
    """Models after a stream whose items are popular by a power law, and users' item keys."""
    generator = np.random.default_rng(1)
    models = OnlineModels(
        OnlineConfig(extra_sources=()), num_click_weights=1, key_of=lambda item: int(item) + 1
    )
    items = np.minimum(generator.zipf(1.2, _NUM_ACTIONS), _NUM_ITEMS).tolist()
    users = generator.integers(0, _NUM_USERS, _NUM_ACTIONS).tolist()
    histories: list[list[int]] = [[] for _ in range(_NUM_USERS)]
    began = time.process_time()
    for number, (item, user) in enumerate(zip(items, users, strict=True)):
        history = histories[user]
        context = {"device": str(user % 3), "region": str(user % 25), "session_step": number % 4}
        models.learn_action(
            str(item),
            weight=1.0,
            time_ms=_START_MS + number * 100,
            previous=history[-3:][::-1],
            context=context,
        )
        history.append(item + 1)
    each_us = (time.process_time() - began) / _NUM_ACTIONS * 1e6
    print(f"{'learn an action, with three contexts':60s} {each_us:8.1f} us")  # noqa: T201
    return models, histories


def _anew(query: Query) -> Query:
    """The same query without what it remembers of its first use."""
    return Query(
        now_ms=query.now_ms,
        previous=query.previous,
        context_rows=query.context_rows,
        session_num_actions=query.session_num_actions,
    )


def _clicks() -> None:
    """The click head's engines on the same slates."""
    generator = np.random.default_rng(2)
    shape, (num_relevance, num_examination) = (_NUM_SLATES, _SLATE), _NUM_FEATURES
    relevance = generator.integers(0, _NUM_WEIGHTS, (*shape, num_relevance), dtype=np.int32)
    examination = generator.integers(0, _NUM_WEIGHTS, (*shape, num_examination), dtype=np.int32)
    labels = generator.random(shape) < 0.05
    engines: tuple[Literal["slate", "ftrl", "river"], ...] = ("river", "ftrl", "slate")
    for config in [ClickHeadConfig(engine=engine) for engine in engines]:
        head = ClickHead(config, _NUM_WEIGHTS)
        slates = list(zip(relevance, examination, labels, strict=True))
        _report(
            f"learn a slate of {_SLATE} with {sum(_NUM_FEATURES) + 1} features, {config.engine}",
            partial(_learn_all, head, slates),
            _NUM_SLATES,
            num_passes=3,
        )
    _report(
        "predict a slate",
        lambda: [
            head.slate_probabilities(r, e) for r, e in zip(relevance, examination, strict=True)
        ],
        _NUM_SLATES,
    )
    _estimators()


def _estimators() -> None:
    """Ours behind River's interface, beside River's own: predict, then learn."""
    generator = np.random.default_rng(3)
    num_features, num_values = sum(_NUM_FEATURES) + 1, 150
    values = generator.integers(0, num_values, (_NUM_SLATES, _SLATE, num_features)).tolist()
    names = [f"f{number}" for number in range(num_features)]
    slates: list[list[dict[Hashable, Hashable]]] = [
        [dict(zip(names, row, strict=True)) for row in slate] for slate in values
    ]
    labels = np.zeros((_NUM_SLATES, _SLATE), np.bool_)
    labels[np.arange(_NUM_SLATES), generator.integers(0, _SLATE, _NUM_SLATES)] = True
    ours = FtrlClassifier()
    coded = [ours.code(slate) for slate in slates]

    def coded_before() -> None:
        for cells, clicked in zip(coded, labels, strict=True):
            ours.predict_proba_slate(cells)
            ours.learn_slate(cells, clicked)

    def coded_here() -> None:
        for slate, clicked in zip(slates, labels, strict=True):
            cells = ours.code(slate)
            ours.predict_proba_slate(cells)
            ours.learn_slate(cells, clicked)

    rivers = linear_model.LogisticRegression(optim.FTRLProximal(0.1, 1.0), intercept_lr=0.0)
    few = [
        ({f"{name}={value}": 1.0 for name, value in example.items()}, bool(label))
        for slate, clicked in zip(slates[:30], labels, strict=False)
        for example, label in zip(slate, clicked, strict=True)
    ]

    def of_river() -> None:
        for example, label in few:
            rivers.predict_proba_one(example)  # type: ignore[no-untyped-call]
            rivers.learn_one(example, label)

    what = f"predict and learn an example of {num_features} features"
    number = _NUM_SLATES * _SLATE
    _report(f"{what}, coded before", coded_before, number, is_rate=True)
    _report(f"{what}, coding included", coded_here, number, is_rate=True)
    _report(f"{what}, River", of_river, len(few), num_passes=3, is_rate=True)


def _learn_all(head: ClickHead, slates: list[Slate]) -> None:
    for relevance, examination, labels in slates:
        head.learn(relevance, examination, labels)


def _report(
    what: str,
    run: Callable[[], object],
    number: int,
    num_passes: int = 9,
    *,
    is_rate: bool = False,
) -> None:
    best_s = float("inf")
    for _ in range(num_passes):
        began = time.process_time()
        run()
        best_s = min(best_s, time.process_time() - began)
    rate = f" {number / best_s:10,.0f} a second" if is_rate else ""
    print(f"{what:60s} {best_s / number * 1e6:8.1f} us{rate}")  # noqa: T201 - a benchmark prints


if __name__ == "__main__":
    main()
