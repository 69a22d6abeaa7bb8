"""How a user's state is written in the store: as it is; and what is refused when it is read."""

from featurestore.errors import FeatureStoreError
from featurestore.state import UserState
from featurestore.state_layout import HEADER_BYTES, STATE_VERSION, num_bytes_of


class StateCorrupt(FeatureStoreError):
    """Bytes that are no user state of this version."""


def encode_state(state: UserState) -> bytes:
    """Write a state as bytes; equal states give equal bytes."""
    return state.value


def decode_state(value: bytes) -> UserState:
    """Read a state that `encode_state` wrote.

    Raises:
        StateCorrupt: if the version or the length is not as expected.
    """
    if len(value) < HEADER_BYTES or value[0] != STATE_VERSION:
        raise StateCorrupt(
            f"found {len(value)} bytes beginning {value[:1].hex() or 'nowhere'}, expected a user "
            f"state of version {STATE_VERSION}; delete the states and checkpoints to have them "
            "folded anew from the log"
        )
    if len(value) != (end := num_bytes_of(value)):
        raise StateCorrupt(
            f"found a user state of {len(value)} bytes, expected {end} from its header; delete "
            "the states and checkpoints to have them folded anew from the log"
        )
    return UserState(value)
