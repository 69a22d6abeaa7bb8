import numpy as np
import pytest

from models.item_index import ItemIndex, largest


def test_nearest_are_those_of_a_whole_sort() -> None:
    generator = np.random.default_rng(4)
    # Small whole numbers: products are exact, and many are equal.
    vectors = generator.integers(-2, 3, (90, 4)).astype(np.float32)
    queries = generator.integers(-2, 3, (600, 4)).astype(np.float32)
    items, products = ItemIndex(vectors).nearest(queries, 11)
    whole = queries @ vectors.T
    expected = np.argsort(-whole, axis=1, kind="stable")[:, :11]
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(products, np.take_along_axis(whole, expected, 1))


@pytest.mark.parametrize(("num_items", "num"), [(0, 3), (2, 3), (3, 3), (4, 0)])
def test_no_more_items_than_there_are(num_items: int, num: int) -> None:
    index = ItemIndex(np.ones((num_items, 2), np.float32))
    items, products = index.nearest(np.ones((5, 2), np.float32), num)
    assert items.shape == products.shape == (5, min(num_items, num))


@pytest.mark.parametrize("num_items", [2, 9, 100, 613, 5000])
@pytest.mark.parametrize("num", [1, 7, 99, 4999])
def test_largest_are_those_of_a_whole_sort(num_items: int, num: int) -> None:
    generator = np.random.default_rng(num_items + num)
    # Many are equal, also at the edge of what is asked for.
    values = generator.integers(0, 50, num_items).astype(np.float32)
    different = generator.permutation(num_items).astype(np.float32)
    for numbers in (values, different):
        expected = np.argsort(-numbers, kind="stable")[:num]
        np.testing.assert_array_equal(largest(numbers, num), expected)


def test_equal_values_keep_their_order() -> None:
    assert largest(np.array([1, 3, 3, 0, 3], np.float32), 2).tolist() == [1, 2]
