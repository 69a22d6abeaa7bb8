"""A hundred thousand records that are no events: none crashes, each has its reason."""

from collections import Counter

from featurestore.events import RefusalReason
from tests.featurestore.malformed import malformed_records, refusal

NUM_RECORDS = 100_000


def test_every_malformed_record_is_refused_for_its_reason() -> None:
    found: Counter[tuple[RefusalReason, RefusalReason | None]] = Counter()
    for value, partition, reason in malformed_records(NUM_RECORDS, seed=7):
        found[reason, refusal(value, partition)] += 1
    assert sum(found.values()) == NUM_RECORDS
    assert {reason for reason, _ in found} == set(RefusalReason)
    assert [pair for pair in found if pair[0] is not pair[1]] == []
