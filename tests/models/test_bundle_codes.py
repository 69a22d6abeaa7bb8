"""Rows of a bundle and codes that are given, retired and given to other items."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.bundle_codes import NO_ROW, BundleCodes
from models.online.vocabulary import Vocabulary, VocabularyConfig

KEYS = st.integers(1, 12)


@given(st.permutations(range(1, 9)), st.lists(KEYS, max_size=40), st.integers(1, 8))
def test_each_code_has_its_items_row_whatever_became_of_it_before(
    keys: list[int], met: list[int], max_items: int
) -> None:
    vocabulary = Vocabulary(VocabularyConfig(max_items=max_items, retire_share=0.3))
    codes = BundleCodes(np.array(keys, np.uint64), vocabulary)
    for now_ms, key in enumerate(met):
        if vocabulary.code(key) < 0 and vocabulary.is_full:
            vocabulary.retire()
        vocabulary.add(str(key), key, now_ms)

        codes.follow()

        expected = [keys.index(one) if one in keys else NO_ROW for one in vocabulary.keys.tolist()]
        assert codes.row_of_code.tolist() == expected
        assert codes.known.tolist() == [at for at, row in enumerate(expected) if row != NO_ROW]
        assert not codes.follow().size


def test_a_bundle_without_items_knows_no_code() -> None:
    vocabulary = Vocabulary(VocabularyConfig())
    vocabulary.add("a", 1, 0)
    codes = BundleCodes(np.empty(0, np.uint64), vocabulary)

    assert codes.follow().tolist() == [0]

    assert codes.row_of_code.tolist() == [NO_ROW]
    assert codes.known.size == 0
