"""What serving a model of a finished log needs, and what is refused."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import ENCODER, WEIGHTS, Bundle, BundleRefused, write_bundle
from models.graph_inputs import FEEDS
from models.recommender import UserSequence
from models.registry import SERVABLE, new_recommender
from models.served import load_served
from tests.models.histories import history_of
from tests.models.recommenders.described import attributes_of, loyal_history

ROWS = [(f"u{user}", f"i{(user + step) % 5}") for user in range(6) for step in range(3)]


def test_serving_needs_no_torch(tmp_path: Path) -> None:
    for name in SERVABLE:
        model = new_recommender(name)
        next(iter(model.fit(history_of(ROWS))))
        model.save(tmp_path / name)
    program = (
        "import sys; from pathlib import Path; from models.bundle import load_bundle; "
        "from models.served import load_served; import models.recommender_source; "
        "served = [load_served(load_bundle(one)) for one in Path(sys.argv[1]).iterdir()]; "
        "assert len(served) == int(sys.argv[2]); "
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(len(SERVABLE))]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(FEEDS))
def test_a_network_without_its_graph_is_refused(name: str, tmp_path: Path) -> None:
    without = new_recommender(name).save(tmp_path / "bundle")
    with pytest.raises(BundleRefused, match=r"no file 'encoder\.onnx'"):
        load_served(without)


@pytest.mark.parametrize("name", ["lstm", "two_tower"])
def test_an_item_that_joins_is_scored_and_read_as_one_that_was_in_the_catalogue(
    name: str, tmp_path: Path
) -> None:
    model = new_recommender(name, training={"max_epochs": 1})
    for _ in model.fit(loyal_history(num_users=60)):
        pass
    served = load_served(model.save(tmp_path / "bundle"))
    before, num = list(model.item_ids), len(model.item_ids)
    assert served.new_items is not None
    told = [attributes_of([item_id])[item_id] for item_id in ("a-late", "b-late")]
    served.new_items.follow(np.arange(3), np.ones(3, bool), [*told[:1], (), *told[1:]].__getitem__)
    assert served.new_items.codes_E.tolist() == [0, 2]
    new_a, new_b = (before.index(f"{category}-new") for category in "ab")

    def asked(*codes: int) -> UserSequence:
        return replace(model.sequence("u", ["a1"] * len(codes)), items=np.array(codes, np.int32))

    both = served.scores([asked(0, new_a, new_b), asked(0, num, num + 1)])
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)
    np.testing.assert_allclose(both[:, [num, num + 1]], both[:, [new_a, new_b]], atol=1e-5)
    (own,) = model.scores([asked(0, new_a, new_b)])
    np.testing.assert_allclose(both[0, :num], own, rtol=1e-4, atol=1e-5)


def test_a_model_without_attributes_lets_nobody_join(tmp_path: Path) -> None:
    for name in ("two_tower", "als"):
        model = new_recommender(name)
        next(iter(model.fit(history_of(ROWS))))
        assert load_served(model.save(tmp_path / name)).new_items is None


def rewritten(
    bundle: Bundle, folder: Path, *, settings: Mapping[str, Any], without: str = ""
) -> Bundle:
    """The bundle as another version would have written it."""
    arrays = bundle.arrays(WEIGHTS)
    return write_bundle(
        folder,
        config=replace(bundle.config, settings=settings),
        item_ids=bundle.item_ids,
        weights={name: array for name, array in arrays.items() if name != without},
        graph=bundle.read(ENCODER),
    )


@pytest.mark.parametrize("name", sorted(FEEDS))
@pytest.mark.parametrize("side", [None, 7, {"device": 1}, {"context": ["a", "a"]}])
def test_a_network_whose_side_features_cannot_be_read_is_refused(
    name: str, side: object, tmp_path: Path
) -> None:
    model = new_recommender(name)
    next(iter(model.fit(history_of(ROWS))))
    bundle = model.save(tmp_path / "bundle")
    settings = {key: value for key, value in bundle.config.settings.items() if key != "side"}
    if side is not None:
        settings["side"] = side
    with pytest.raises(BundleRefused, match=r"train it anew \(headrace train\)"):
        load_served(rewritten(bundle, tmp_path / "other", settings=settings))


def test_a_graph_that_takes_items_in_without_the_attributes_vectors_is_refused(
    tmp_path: Path,
) -> None:
    model = new_recommender("two_tower", training={"max_epochs": 1})
    for _ in model.fit(loyal_history(num_users=60)):
        pass
    bundle = model.save(tmp_path / "bundle")
    vectors = "attributes.vectors"
    other = rewritten(bundle, tmp_path / "other", settings=bundle.config.settings, without=vectors)
    with pytest.raises(BundleRefused, match=rf"'{vectors}'.*train it anew"):
        load_served(other)


def test_a_model_that_is_live_by_itself_is_refused(tmp_path: Path) -> None:
    model = new_recommender("popularity")
    for _ in model.fit(history_of(ROWS)):
        pass
    with pytest.raises(BundleRefused, match="'popularity' found, one that can be a live source"):
        load_served(model.save(tmp_path / "bundle"))
