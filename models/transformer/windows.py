"""Which sequences does a window of the history train on?

Offline, everything at once: one sequence a user. On a stream a window at a time.

A window is a range of rows in log order, hence of time. Each user who acted in it gives sequences
whose targets are that user's actions in the window and whose tokens are the actions before each
target, back to the beginning of the kept history; so every target sees earlier rows only.

Shape letters: S sequences, R rows up to the window's end sorted by user, B sequences of a batch,
L tokens, P predicted positions, C context names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.encoder_inputs import NO_GAP, NOW, EncoderInputs, action_codes, gap_buckets, token_codes
from models.history import History
from models.side_features import NO_SIDE, context_rows_of

_START: Final = -1
_LENGTH_BUCKETS: Final = (2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """Training sequences as index ranges; nothing is copied until a batch is gathered.

    The tokens of sequence s are the user's actions number `first_S[s]` to `end_S[s] - 2`, number -1
    being the start token; the targets are the actions number `target_S[s]` to `end_S[s] - 1`.

    Attributes:
        order_R: the history's row positions, sorted by user and within a user in log order.
        base_S: where in `order_R` the sequence's user begins.
        first_S: number of the first token.
        target_S: number of the first target.
        end_S: one past the number of the last target.
    """

    order_R: npt.NDArray[np.int64]
    base_S: npt.NDArray[np.int64]
    first_S: npt.NDArray[np.int64]
    target_S: npt.NDArray[np.int64]
    end_S: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.base_S)

    @property
    def num_targets(self) -> int:
        """How many actions the sequences predict."""
        return int((self.end_S - self.target_S).sum())

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens of each sequence."""
        return self.end_S - 1 - self.first_S

    def select(self, chosen: npt.NDArray[np.int64]) -> "Sequences":
        """Return the chosen sequences, in that order."""
        return Sequences(
            order_R=self.order_R,
            base_S=self.base_S[chosen],
            first_S=self.first_S[chosen],
            target_S=self.target_S[chosen],
            end_S=self.end_S[chosen],
        )


def training_sequences(history: History, *, from_row: int, to_row: int, length: int) -> Sequences:
    """Return the sequences of up to `length` tokens whose targets are the rows of the window.

    Args:
        history: where the rows are.
        from_row: absolute number of the first target row; clipped to what is kept.
        to_row: one past the last target row; no later row is looked at.
        length: most tokens of a sequence, at least 2. A user with more than `length / 2` targets
            in the window gives several sequences, so that each target has at least half of it.
    """
    stop = min(to_row, history.end_row) - history.first_row
    start = max(from_row - history.first_row, 0)
    order_R, base_U, size_U = _by_user(history.users[: max(stop, 0)])
    is_target_R = order_R >= start
    targets_U = np.add.reduceat(is_target_R, base_U) if len(base_U) else size_U
    # Within a user rows are in log order, so the targets are the last ones.
    stride = max(length // 2, 1)
    pieces_U = -(-targets_U // stride)
    user_S = np.repeat(np.arange(len(base_U)), pieces_U)
    piece_S = np.arange(len(user_S)) - np.repeat(np.cumsum(pieces_U) - pieces_U, pieces_U)
    target_S = size_U[user_S] - targets_U[user_S] + piece_S * stride
    end_S = np.minimum(target_S + stride, size_U[user_S])
    return Sequences(
        order_R=order_R,
        base_S=base_U[user_S],
        first_S=np.maximum(_START, end_S - 1 - length),
        target_S=target_S,
        end_S=end_S,
    )


def whole_sequences(history: History, *, length: int) -> Sequences:
    """Return one sequence a user: the newest `length` tokens, every one of which predicts.

    Each token costs once, where `training_sequences` gives each target half a length of context.
    """
    order_R, base_U, size_U = _by_user(history.users)
    first_U = np.maximum(_START, size_U - 1 - length)
    return Sequences(
        order_R=order_R, base_S=base_U, first_S=first_U, target_S=first_U + 1, end_S=size_U
    )


def _by_user(
    users_R: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows sorted by user, where each user begins there, and how many rows it has."""
    order_R = np.argsort(users_R, kind="stable")
    sorted_R = users_R[order_R]
    base_U = np.flatnonzero(np.r_[True, sorted_R[1:] != sorted_R[:-1]][: len(users_R)])
    return order_R, base_U, np.diff(np.r_[base_U, len(users_R)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tokens of B sequences and the P positions of them that predict a target.

    Attributes:
        inputs: the tokens; `request_gap_B` is not used, each target has its own.
        position_P: flat token position `b * L + l` that predicts; int64.
        item_P: the target's item code, -1 for none; int64.
        action_P: the target's action code; int64.
        request_gap_P: bucket of the gap between the token and the visit before the target; int64.
        context_PC: what was known of the moment that the target's list was made at, as
            `models.side_features.context_rows`; int64. C is 0 where the history tells nothing.
        row_P: absolute row number of the target; int64.
    """

    inputs: EncoderInputs
    position_P: npt.NDArray[np.int64]
    item_P: npt.NDArray[np.int64]
    action_P: npt.NDArray[np.int64]
    request_gap_P: npt.NDArray[np.int64]
    context_PC: npt.NDArray[np.int64]
    row_P: npt.NDArray[np.int64]


def gather(history: History, sequences: Sequences) -> Batch:
    """Return the sequences' tokens and targets."""
    length_B = sequences.lengths
    number_BL = sequences.first_S[:, None] + np.arange(int(length_B.max()))
    last_B1 = (sequences.end_S - 2)[:, None]
    clipped_BL = np.clip(number_BL, 0, np.maximum(last_B1, 0))
    token_BL = sequences.order_R[sequences.base_S[:, None] + clipped_BL]
    target_number_BL = np.minimum(number_BL + 1, (sequences.end_S - 1)[:, None])
    target_BL = sequences.order_R[sequences.base_S[:, None] + target_number_BL]
    item_BL = history.items[token_BL].astype(np.int64) + 1
    raw_time_BL = history.times_s[token_BL].astype(np.int64)
    action_BL, gap_BL, time_BL = token_codes(
        item_BL, history.actions[token_BL], raw_time_BL, sequences.first_S == _START
    )
    predicts_BL = (number_BL + 1 >= sequences.target_S[:, None]) & (number_BL <= last_B1)
    row_P = target_BL[predicts_BL]
    visit_P = history.visits_s[row_P].astype(np.int64)
    request_P = np.where(visit_P > 0, gap_buckets(visit_P - raw_time_BL[predicts_BL]), NOW)
    request_P[number_BL[predicts_BL] == _START] = NO_GAP
    return Batch(
        inputs=EncoderInputs(
            item_BL=item_BL,
            action_BL=action_BL,
            gap_BL=gap_BL,
            time_BL=time_BL,
            user_B=history.users[sequences.order_R[sequences.base_S]],
            length_B=length_B,
            request_gap_B=np.zeros(len(sequences), np.int64),
        ),
        position_P=np.flatnonzero(predicts_BL),
        item_P=history.items[row_P].astype(np.int64),
        action_P=action_codes(history.actions[row_P]),
        request_gap_P=request_P,
        context_PC=context_rows_of(history.contexts[row_P], history.side or NO_SIDE),
        row_P=row_P + history.first_row,
    )


def seen_items(batch: Batch) -> npt.NDArray[np.int64]:
    """Return the item codes of the tokens that each position has seen, `[P, L]`, -1 for none."""
    length = batch.inputs.item_BL.shape[1]
    sequence_P, place_P = np.divmod(batch.position_P, length)
    is_past_PL = np.arange(length) <= place_P[:, None]
    return np.where(is_past_PL, batch.inputs.item_BL[sequence_P] - 1, -1)


def batches(
    sequences: Sequences,
    generator: np.random.Generator,
    *,
    max_tokens: int,
    length_buckets: tuple[int, ...] = _LENGTH_BUCKETS,
) -> Iterator[Sequences]:
    """Yield all sequences, shuffled, in batches of similar length and at most `max_tokens`.

    Similar lengths keep the padding low. Where too few share a length they go with the next longer
    ones: a step on a handful of targets would be noise.
    """
    bucket_S = np.searchsorted(length_buckets, sequences.lengths)
    pieces: list[npt.NDArray[np.int64]] = []
    waiting = np.empty(0, np.int64)
    buckets = np.unique(bucket_S)
    for bucket in buckets:
        waiting = np.concatenate([waiting, np.flatnonzero(bucket_S == bucket)])
        num_tokens = int(sequences.lengths[waiting].sum())
        if bucket != buckets[-1] and num_tokens < max_tokens // 4:
            continue
        members, waiting = generator.permutation(waiting), waiting[:0]
        longest = int(sequences.lengths[members].max())
        num_batches = -(-len(members) * longest // max_tokens)
        pieces.extend(np.array_split(members, num_batches))
    for index in generator.permutation(len(pieces)):
        yield sequences.select(pieces[index])
