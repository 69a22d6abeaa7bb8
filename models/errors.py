"""What can go wrong in this package?"""


class ModelError(Exception):
    """Root of the errors that `models` raises on purpose."""


class SnapshotRefused(ModelError, ValueError):
    """A snapshot or delta is damaged, of another format version, or of another schema.

    Whoever raises it has changed nothing: what was in use stays in use.
    """
