"""How does a network learn whole user histories, again and again until it knows no better?

For offline training alone: one sequence a user, all its positions predicted in one pass, the full
softmax over the catalogue, and so many passes that regularisation decides. On a stream `training`
does it in one chronological pass instead.

The learning rate rises over the first steps and falls in a line to its end after `max_epochs`.
What is judged and kept is an exponential average of the weights (Polyak & Juditsky 1992): it is as
good after few passes as the weights themselves after a long cooling down.

With attributes, an item that no row is about, but attributes that others have, too, is no
candidate: nothing would be learned of it and its attributes but that nobody took it.

Shape letters: B sequences, L tokens, P predicted positions, N items, I item vector width.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from models.encoder_inputs import user_buckets
from models.graph_inputs import ATTRIBUTE_VECTORS
from models.history import History
from models.neural.side_inputs import id_dropout_mask
from models.transformer.adam import Adam
from models.transformer.full_softmax import full_softmax_loss
from models.transformer.item_attributes import MAX_LENGTH
from models.transformer.network import MaskPool
from models.transformer.packed import PackedWeights
from models.transformer.products import product_type, round_products
from models.transformer.sequence_network import SequenceNetwork
from models.transformer.windows import Batch, batches, gather, seen_items, whole_sequences

# Whole histories are long: fine steps keep the padding at 4 %.
_LENGTH_BUCKETS: Final = (2, 4, 8, *range(16, 1024, 16))
_LAST_RATE: Final = 0.02
_AVERAGE_BEGINS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTrainingConfig:
    """How the passes are made; the defaults suit a million actions on a few thousand items.

    Attributes:
        learning_rate: the largest, of the network's weights.
        item_learning_rate: the largest, of the item vectors.
        warm_up_steps: until the largest rate is reached.
        max_epochs: passes until the rate has fallen to 2 %.
        patience: passes without a better validation after which training ends.
        max_batch_tokens: padded tokens of a batch. Small batches learn more a second here: the
            cost is in the products, not in the steps.
        averaging: weight of the past in the average of the weights, a step.
        action_loss_weight: weight of the action type's cross-entropy against the item's; without
            effect where a log has one type.
        max_gradient_norm: of the network's gradient; larger ones are scaled down to it.
        products: what products are rounded to in training; `fastest` is bfloat16 where the
            processor has instructions for it, else float32.
    """

    learning_rate: float = 5e-3
    item_learning_rate: float = 1e-2
    warm_up_steps: int = 200
    max_epochs: int = 24
    patience: int = 8
    max_batch_tokens: int = 1024
    averaging: float = 0.998
    action_loss_weight: float = 0.2
    max_gradient_norm: float = 1.0
    products: Literal["fastest", "float32", "bfloat16"] = "fastest"

    def __post_init__(self) -> None:
        """Refuse products of another type."""
        product_type(self.products)


class WholeLearner:
    """One fit of a network to a history; `epoch` makes a pass, `averaged` is what it has become."""

    def __init__(
        self, network: SequenceNetwork, history: History, config: WholeTrainingConfig, seed: int
    ) -> None:
        """Begin a fit; the history is not changed."""
        torch.set_num_threads(1)
        self._network = network
        self._history = history
        self._config = config
        self._generator = np.random.default_rng(seed)
        self._product_type = product_type(config.products)
        round_products(network.encoder, self._product_type)
        dropout = network.encoder.config.dropout
        self._masks = MaskPool(dropout, torch.Generator().manual_seed(seed))
        self._sequences = whole_sequences(history, length=network.encoder.config.length)
        self._has_times = bool(len(history.times_s)) and bool(np.ptp(history.times_s))
        self._has_types = len(np.unique(history.actions)) > 1
        if network.hides_users:
            network.encoder.user_embedding.requires_grad_(requires_grad=False)
        self._encoder = PackedWeights(
            weight for weight in network.encoder.parameters() if weight.requires_grad
        )
        self._encoder_adam = Adam([self._encoder.vector])
        self._vectors = [network.items]
        self._candidates: _Candidates | None = None
        if network.attributes is not None:
            self._vectors.append(network.attributes.vectors)
            is_learned_N = np.isin(np.arange(len(history.item_ids)), history.items)
            network.attributes.keep(np.r_[True, is_learned_N], network.items)
            alone_N = network.attributes.speak_alone(np.r_[True, is_learned_N])[1:]
            if alone_N.any():
                self._candidates = _Candidates(~alone_N)
        self._item_adam = Adam(self._vectors)
        self._num_steps = 0
        self._average_encoder = self._encoder.vector.clone()
        self._average_vectors = [vectors.detach().clone() for vectors in self._vectors]

    def epoch(self, number: int) -> Iterator[tuple[float, float]]:
        """Make pass `number`, from 0; yield the share of it that is done and the step's loss."""
        limit = self._config.max_batch_tokens
        parts = list(
            batches(
                self._sequences, self._generator, max_tokens=limit, length_buckets=_LENGTH_BUCKETS
            )
        )
        self._network.train()
        for place, part in enumerate(parts):
            share = (number + place / len(parts)) / self._config.max_epochs
            loss = self._step(gather(self._history, part), share)
            yield (place + 1) / len(parts), loss
        self._network.eval()

    def averaged(self) -> Mapping[str, Tensor]:
        """Return a copy of the average of the weights, as the network's state."""
        with self._encoder.replaced_by(self._average_encoder):
            average = {name: value.clone() for name, value in self._network.state_dict().items()}
        average["items"] = functional.normalize(self._average_vectors[0], dim=-1)
        if self._network.attributes is not None:
            average[ATTRIBUTE_VECTORS] = self._average_vectors[1].clone()
        return average

    def _step(self, batch: Batch, share_done: float) -> float:
        self._item_adam.forget_gradients()
        loss, item_loss = self._losses(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self._encoder.gather_gradient(max_norm=self._config.max_gradient_norm)
        keep_tangent(self._network.items)
        scale = self._rate_scale(share_done)
        self._encoder_adam.step(self._config.learning_rate * scale)
        self._item_adam.step(self._config.item_learning_rate * scale)
        self._num_steps += 1
        self._average_weights()
        return item_loss

    def _rate_scale(self, share_done: float) -> float:
        warm = min(1.0, (self._num_steps + 1) / self._config.warm_up_steps)
        return warm * max(_LAST_RATE, 1 - share_done)

    @torch.no_grad()
    def _average_weights(self) -> None:
        # Directions alone matter: unit length keeps steps comparable among the rows.
        self._network.items.copy_(functional.normalize(self._network.items, dim=-1))
        for vectors in self._vectors[1:]:
            vectors.copy_(torch.renorm(vectors, 2, 0, MAX_LENGTH))
        past = self._num_steps / (self._num_steps + _AVERAGE_BEGINS)
        share = 1 - min(self._config.averaging, past)
        self._average_encoder.lerp_(self._encoder.vector, share)
        for average, vectors in zip(self._average_vectors, self._vectors, strict=True):
            average.lerp_(vectors, share)

    def _losses(self, batch: Batch) -> tuple[Tensor, float]:
        """Return what is descended, and the mean cross-entropy of the items."""
        network, inputs = self._network.encoder, batch.inputs
        item_NI = self._item_vectors()
        hidden_BLM = network.encode(
            functional.embedding(torch.from_numpy(self._hide_items(inputs.item_BL)), item_NI),
            torch.from_numpy(inputs.action_BL),
            torch.from_numpy(inputs.gap_BL),
            torch.from_numpy(inputs.time_BL) if self._has_times else None,
            torch.from_numpy(user_buckets(inputs.user_B, network.config.num_user_buckets)),
            self._masks,
            self._hidden_users(len(inputs.user_B)),
        )
        state_PM = hidden_BLM.flatten(0, 1)[torch.from_numpy(batch.position_P)]
        request_gap_P = torch.from_numpy(batch.request_gap_P)
        context_PC = torch.from_numpy(batch.context_PC)
        action_P = torch.from_numpy(batch.action_P)
        target_P = torch.from_numpy(batch.item_P)
        seen_PL = torch.from_numpy(seen_items(batch))
        # What lists leave out is neither a target nor a candidate.
        is_repeat_P = (seen_PL == target_P[:, None]).any(1)
        chosen = torch.nonzero((target_P >= 0) & ~is_repeat_P)[:, 0]
        loss, item_loss = torch.zeros(()), 0.0
        if len(chosen):
            query_PI, _ = network.queries(
                state_PM[chosen], request_gap_P[chosen], action_P[chosen], context_PC[chosen]
            )
            loss = self._softmax_loss(
                query_PI,
                item_NI,
                target_P[chosen],
                # The same as indexing, three times as fast.
                seen_PL.index_select(0, chosen),
            )
            item_loss = float(loss.detach())
        if self._has_types or not len(chosen):
            logits_PA = network.action_logits(state_PM, request_gap_P, context_PC)
            action_loss = functional.cross_entropy(logits_PA, action_P)
            loss = loss + self._config.action_loss_weight * action_loss
        return loss, item_loss

    def _item_vectors(self) -> Tensor:
        network = self._network
        if network.attributes is None:
            # Of unit length already.
            return network.items
        share = network.encoder.config.id_dropout
        return network.item_vectors(id_dropout_mask(network.attributes, share, self._generator))

    def _softmax_loss(
        self, query_PI: Tensor, item_NI: Tensor, target_P: Tensor, seen_PL: Tensor
    ) -> Tensor:
        candidates = self._candidates
        if candidates is not None:
            item_NI = item_NI.index_select(0, candidates.rows)
            target_P, seen_PL = candidates.places(target_P), candidates.places(seen_PL)
        return full_softmax_loss(
            query_PI, item_NI, target_P, seen_PL, product_type=self._product_type
        )

    def _hide_items(self, item_BL: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        share = self._network.encoder.config.item_dropout
        return np.where(self._generator.random(item_BL.shape) < share, 0, item_BL)

    def _hidden_users(self, num_users: int) -> Tensor:
        share = self._network.encoder.config.user_dropout
        return torch.from_numpy(self._generator.random(num_users) < share)


class _Candidates:
    """The items that rows are about, numbered anew.

    Attributes:
        rows: where they stand in the item matrix, the row for none before them.
    """

    def __init__(self, is_learned_N: npt.NDArray[np.bool_]) -> None:
        self.rows = torch.from_numpy(np.flatnonzero(np.r_[True, is_learned_N]))
        places_N = np.where(is_learned_N, np.cumsum(is_learned_N) - 1, -1)
        # The last is that of the code -1, none.
        self._places = torch.from_numpy(np.r_[places_N, -1])

    def places(self, codes: Tensor) -> Tensor:
        """Return the numbers of items, -1 for none."""
        return self._places[codes]


@torch.no_grad()
def keep_tangent(unit_NI: Tensor) -> None:
    """Take off the gradient of unit vectors what would only change their lengths.

    What is left is the gradient with respect to vectors that are normalised first.
    """
    if unit_NI.grad is not None:
        along_N1 = torch.linalg.vecdot(unit_NI.grad, unit_NI)[:, None]
        unit_NI.grad.addcmul_(along_N1, unit_NI, value=-1)
