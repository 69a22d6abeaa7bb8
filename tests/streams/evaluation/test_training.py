from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.events import CatalogueItem, ItemId, decode_event
from models.bundle import load_bundle
from models.encoder import BUNDLE_KIND
from models.transformer.bundling import restore_state
from streams.config import config_of
from streams.evaluation.evaluate import Evaluation, _Run
from streams.evaluation.plan import Start, plan
from streams.evaluation.result import Cost
from streams.evaluation_config import MIN_TRAINING_MS
from streams.event_file import read_values
from tests.streams.evaluation.test_evaluate import shop, written
from tests.streams.stream_events import START_MS

NO_COST = Cost(cpu_s=0, wall_s=0, peak_rss_mb=0, events=0, lists=0, training_cpu_s=0)
CONFIG = config_of({"ranking": {"skip_acted": False}, "trainer": {"min_actions": 100}})


@pytest.mark.slow
def test_a_bundle_is_used_only_when_its_training_could_have_ended(tmp_path: Path) -> None:
    path = written(tmp_path, shop(1_000))
    start = Start(fraction=0.2)
    planned = plan(read_values(path), CONFIG.action_table(), start, sample=0.2, seed=7)
    run = _Run(CONFIG, planned)
    run.train_every(200_000, tmp_path)
    first_used_ms = None
    for place, value in enumerate(read_values(path)):
        run.take(place, value)
        if first_used_ms is None and run._live.encoder is not None:
            first_used_ms = decode_event(value).ts_ms
    run.finish()
    result = run.result(Evaluation(path=path, start=start, sample=0.2), NO_COST)
    [bundle, *_] = result.bundles
    cutoff_ms = START_MS + 1_000 * (bundle.cutoff_event - 1)

    assert cutoff_ms >= START_MS + 200_000
    assert bundle.usable_from_ms >= cutoff_ms + MIN_TRAINING_MS
    assert first_used_ms is not None
    assert bundle.usable_from_ms <= first_used_ms < bundle.usable_from_ms + 1_000
    assert run.model_costs["transformer"].training_s > 0
    assert result.sources["transformer"].asked.hr_20


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False])
def test_the_transformer_learns_attributes_where_the_trainer_would(
    tmp_path: Path, *, reads: bool
) -> None:
    trainer = {"min_actions": 100, "reads_attributes": reads}
    config = config_of({"ranking": {"skip_acted": False}, "trainer": trainer})
    path = written(tmp_path, shop(450))
    planned = plan(
        read_values(path), config.action_table(), Start(fraction=0.2), sample=0.1, seed=7
    )
    items = [
        CatalogueItem(item_id=ItemId(f"i{number}"), categories=(f"c{number % 3}",))
        for number in range(12)
    ]
    run = _Run(config, planned, items)
    run.train_every(400_000, tmp_path)
    for place, value in enumerate(read_values(path)):
        run.take(place, value)
    (folder,) = tmp_path.glob(f"{BUNDLE_KIND}-*")
    state = restore_state(load_bundle(folder), learning_rate=0.0, side=config.side)

    assert (state.attributes is not None) == reads
