"""Which items may be no candidates, since only attributes speak for them."""

import numpy as np

from models.neural.side_inputs import AttributeVectors


def test_only_items_that_learned_attributes_speak_for_are_left_out_of_training() -> None:
    # Learned; undescribed; described by what nobody learned; by what the first has, too.
    codes_NA = np.array([[1, 2], [0, 0], [3, 0], [2, 3]], np.int32)
    attributes = AttributeVectors(codes_NA, 4, 8)

    alone_N = attributes.speak_alone(np.array([True, False, False, False]))

    assert alone_N.tolist() == [False, False, False, True]
