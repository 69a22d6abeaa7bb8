"""What an operator does with trained models, on a real broker and by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer

from deploy.stack.broker import KafkaBroker
from models.bundle import WEIGHTS, Bundle
from models.encoder import BUNDLE_KIND
from models.transformer.bundling import Provenance, write_state
from models.transformer.state import TrainingState
from streams.announcements import Decision
from streams.cli import _headrace
from streams.errors import StreamsError
from streams.model_registry import ModelRegistry, NoSuchBundle
from tests.streams.bundles import SMALL


def write(folder: Path, number: int) -> Bundle:
    """A bundle trained at `number` seconds."""
    state = TrainingState(SMALL, ["a", "b"], seed=number, learning_rate=0.001)
    provenance = Provenance(
        created_ms=1000 * number, cutoff_offset=number, cutoff_ms=number, metrics={"mrr": 0.25}
    )
    return write_state(folder / f"{BUNDLE_KIND}-{number}", state, provenance, target_action=1)


def damage(bundle: Bundle) -> None:
    content = bytearray((bundle.folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (bundle.folder / WEIGHTS).write_bytes(content)


class Desk:
    """The folder, the registry, and the command line on both."""

    def __init__(self, kafka: str, topic: str, folder: Path) -> None:
        self.kafka, self.topic, self.folder = kafka, topic, folder
        self.registry = ModelRegistry(folder, [kafka], topic)

    def run(self, *arguments: str) -> Result:
        settings = ["--set", f"kafka.topics.models={self.topic}"]
        servers = {"HEADRACE_KAFKA": self.kafka, "HEADRACE_MODELS": str(self.folder)}
        return CliRunner().invoke(
            _headrace, ["models", *arguments, *settings], env={**servers, "COLUMNS": "140"}
        )

    def current(self) -> str | None:
        current = self.registry.current(BUNDLE_KIND)
        return None if current is None else current.digest


@pytest.fixture
def desk(kafka: KafkaBroker, topics: str, tmp_path: Path) -> Desk:
    return Desk(kafka.bootstrap, f"{topics}models", tmp_path)


def test_bundles_are_promoted_listed_and_rolled_back(desk: Desk) -> None:
    old, new = write(desk.folder, 9), write(desk.folder, 10)
    assert desk.current() is None

    assert desk.run("promote", new.digest[:8], "--reason", "[better]").exit_code == 0
    assert desk.current() == new.digest
    listed = desk.run("list").output
    assert listed.index(old.digest[:12]) < listed.index(new.digest[:12])
    assert listed.count("→") == 1
    assert "mrr 0.25" in listed
    assert f"current: {new.digest[:12]} by promote: [better]" in listed

    assert desk.run("rollback").output == f"{old.digest[:12]} is current\n"
    assert desk.current() == old.digest
    decisions = [one.decision for one in desk.registry.announcements(BUNDLE_KIND)]
    assert decisions[-1] is Decision.ROLLBACK


def test_a_rollback_without_an_earlier_bundle_is_refused(desk: Desk) -> None:
    only = write(desk.folder, 1)
    desk.registry.promote(BUNDLE_KIND, only.digest, reason="the first")

    with pytest.raises(NoSuchBundle, match="no intact bundle of transformer trained before"):
        desk.registry.rollback(BUNDLE_KIND, reason="worse")
    assert desk.current() == only.digest


def test_a_damaged_bundle_is_shown_not_promoted_and_can_be_rolled_back_from(desk: Desk) -> None:
    old, current, spoilt = (write(desk.folder, number) for number in (1, 2, 3))
    desk.registry.promote(BUNDLE_KIND, current.digest, reason="newest")
    damage(spoilt)
    assert "!" in desk.run("list").output
    with pytest.raises(NoSuchBundle, match="0 intact bundles"):
        desk.registry.promote(BUNDLE_KIND, spoilt.digest, reason="newest")

    damage(current)
    assert desk.registry.rollback(BUNDLE_KIND, reason="damaged").digest == old.digest


def test_a_bundle_of_another_kind_under_a_kinds_name_is_shown_and_not_promoted(desk: Desk) -> None:
    bundle = write(desk.folder, 1)
    bundle.folder.rename(desk.folder / "offline-als-1")

    (entry,) = desk.registry.bundles("offline-als")
    assert entry.bundle is None
    assert "kind 'transformer' found, 'offline-als' expected" in (entry.refusal or "")
    with pytest.raises(NoSuchBundle, match="0 intact bundles of offline-als"):
        desk.registry.promote("offline-als", bundle.digest, reason="by mistake")


def test_a_prefix_of_several_digests_is_refused(desk: Desk) -> None:
    write(desk.folder, 1)
    write(desk.folder, 2)

    with pytest.raises(NoSuchBundle, match="2 intact bundles"):
        desk.registry.promote(BUNDLE_KIND, "", reason="any")


def test_what_cannot_be_read_is_passed_over(desk: Desk) -> None:
    bundle = write(desk.folder, 1)
    desk.registry.promote(BUNDLE_KIND, bundle.digest, reason="good")
    producer = KafkaProducer(bootstrap_servers=desk.kafka)
    producer.send(desk.topic, key=b"transformer", value=b"{}")
    producer.send(desk.topic, key=b"other", value=None)
    producer.close()

    assert desk.current() == bundle.digest


def test_a_missing_topic_is_named(kafka: KafkaBroker, tmp_path: Path) -> None:
    with pytest.raises(StreamsError, match="topic 'nowhere' does not exist"):
        ModelRegistry(tmp_path, [kafka.bootstrap], "nowhere").current(BUNDLE_KIND)
