"""How the time between two actions is written in two bytes.

Whatever a state holds has a time, so that nothing outlives the horizon. An action's time is told by
the gaps up to the newest one: it depends on what came after it, never on what is forgotten.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

DAY_S: Final = 86_400

_EXACT_GAPS: Final = 1 << 15
_COARSE_S: Final = 1 << 10
_COARSE_OFFSET_S: Final = _EXACT_GAPS * (_COARSE_S - 1)
MAX_GAP_S: Final = _EXACT_GAPS + (_EXACT_GAPS - 1) * _COARSE_S
"""388 days: the longest gap that two bytes tell apart, and so the longest horizon."""


def gap_code(gap_s: int) -> int:
    """Code the seconds between two actions in 16 bits.

    Exact below 9.1 hours, above rounded up to the next of steps of 1,024 s (at most 3 %): an
    action then seems older than it is, never younger, so that none outlives the horizon.

    >>> [gap_seconds(gap_code(gap_s)) for gap_s in (30, 32_767, 40_000)]
    [30, 32767, 40960]
    """
    if gap_s < _EXACT_GAPS:
        return gap_s
    return min(_EXACT_GAPS - (_EXACT_GAPS - gap_s) // _COARSE_S, 2 * _EXACT_GAPS - 1)


def gap_seconds(code: int) -> int:
    """Return the seconds that a gap's code stands for."""
    return code if code < _EXACT_GAPS else _EXACT_GAPS + (code - _EXACT_GAPS) * _COARSE_S


def seconds_of_gaps(codes: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Return the seconds that gaps' codes stand for.

    >>> seconds_of_gaps(np.array([30, 32_768, 32_769], np.uint16)).tolist()
    [30, 32768, 33792]
    """
    wide = codes.astype(np.int64)
    return np.where(wide < _EXACT_GAPS, wide, wide * _COARSE_S - _COARSE_OFFSET_S)
