"""Do the values of a configuration hold? All that do not are named at once."""

from __future__ import annotations


def require(*checks: tuple[bool, str]) -> None:
    """Refuse values of which one check or more fails.

    Args:
        checks: Whether a value holds, and what is expected of it.

    Raises:
        ValueError: Naming every expectation that is not met.

    >>> require((True, "rate above 0"), (False, "share from 0 to 1"), (False, "depth at least 1"))
    Traceback (most recent call last):
    ...
    ValueError: share from 0 to 1, depth at least 1
    """
    if missed := [expected for holds, expected in checks if not holds]:
        raise ValueError(", ".join(missed))
