"""Bins: total, in range, and the same whatever stands beside a value."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from featurestore.bins import NUM_PERCENTILES, bucket, log_bins, percentiles, steps

rows = arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(1, 30)),
    elements=st.one_of(st.floats(-10, 10), st.just(np.nan), st.sampled_from([0.0, 1.0])),
)


@settings(derandomize=True, deadline=None)
@given(rows)
def test_percentiles_are_the_share_of_smaller_values(values: np.ndarray) -> None:
    for row, bins in zip(values, percentiles(values), strict=True):
        known = row[~np.isnan(row)]
        for value, bin_ in zip(row, bins, strict=True):
            if np.isnan(value):
                assert bin_ == NUM_PERCENTILES
            else:
                share = (known < value).sum() * NUM_PERCENTILES // max(len(known) - 1, 1)
                assert bin_ == min(share, NUM_PERCENTILES - 1)


@settings(derandomize=True, deadline=None)
@given(rows)
def test_steps_are_in_range_for_every_value(values: np.ndarray) -> None:
    num_rows = len(values)
    values = np.concatenate((values, np.full((num_rows, 2), [np.inf, -np.inf])), axis=1)
    num_bins = np.arange(4, 4 + num_rows)
    bins = steps(
        values, step=np.full(num_rows, 0.3), low=np.full(num_rows, -1.0), num_bins=num_bins
    )
    assert (bins >= 0).all()
    assert (bins <= num_bins[:, None]).all()
    assert ((bins == num_bins[:, None]) == np.isnan(values)).all()
    assert (bins[:, -2] == num_bins - 1).all()
    assert (bins[:, -1] == 0).all()


def test_log_bins_are_exact_at_the_powers_of_two() -> None:
    powers = 2 ** np.arange(1, 40)
    assert (log_bins(powers, 64) == np.arange(2, 41)).all()
    assert (log_bins(powers - 1, 64) == np.arange(1, 40)).all()


def test_a_context_value_has_its_bucket_by_name_and_value() -> None:
    assert bucket("device", "mobile", 64) == 55
    assert 0 <= bucket("device", None, 64) < 64
    assert bucket("device", "1", 1 << 20) != bucket("platform", "1", 1 << 20)
