"""How is the writing of a partition fenced? By the checkpoint that must stand there before."""

from dataclasses import dataclass
from typing import Final

MAX_LISTS_PER_COMMIT: Final = 64
"""One commit blocks the store for everybody: a larger slice is cut into chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Up to where a partition's states and lists are written.

    Attributes:
        topic_id: Kafka's id of the topic; a recreated topic has another.
        next_offset: the first offset that is not in them.
        fold_version: of the rules and the layout that made the states (`FoldRules.version`).
    """

    topic_id: str
    next_offset: int
    fold_version: str


@dataclass(frozen=True, slots=True)
class Committed:
    """States, lists and checkpoint were written, together."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Nothing was written: the checkpoint stands further on, another owner was here."""

    current: Checkpoint


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing was written: the checkpoint is gone, behind, or of another topic or fold."""

    current: Checkpoint | None


CommitResult = Committed | Ahead | Missing


def judged(current: Checkpoint | None, expected: Checkpoint | None) -> Ahead | Missing:
    """Say what a checkpoint means that is not the expected one."""
    if current is None:
        return Missing(None)
    if expected is None:
        return Ahead(current)
    same_log = (current.topic_id, current.fold_version) == (
        expected.topic_id,
        expected.fold_version,
    )
    return (
        Ahead(current)
        if same_log and current.next_offset > expected.next_offset
        else Missing(current)
    )


def check_num_lists(num_lists: int) -> None:
    """Refuse a commit that would block the store for too long.

    Raises:
        ValueError: for more than 64 lists.
    """
    if num_lists > MAX_LISTS_PER_COMMIT:
        raise ValueError(
            f"found {num_lists} lists in one commit, expected at most {MAX_LISTS_PER_COMMIT}; cut "
            "the slice into chunks"
        )
