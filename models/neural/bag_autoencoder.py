"""What does the denoising autoencoder of bags compute, and what does it lose?

Mult-DAE of Liang et al. 2018, "Variational Autoencoders for Collaborative Filtering", section 2:

    z = tanh(W x / |x| + b)        pi = softmax(V z + c)
    loss(x) = -sum of x_i log pi_i over the items i    (eq. 2, the multinomial likelihood)

where in training a share of the entries of x / |x| is dropped, and the others are scaled up for it.

Where we differ: a user's loss is divided by the size of the bag, so that those who do much do not
speak for all; there is no weight decay, training ends on the validation instead; and fewer items
are dropped than the paper's half, which was as good on ML-1M in fewer passes.

Where moments are told, the hidden layer also reads when and in which context the list is made,

    z = tanh(W x / |x| + b + M m),

m the moment: vectors of its context, and its time as numbers, as in Netflix's case study (Steck et
al. 2021, section on features: time as a continuous input, and the device). What is learned then is
not the bag but what came at the moment, of what had come before: a moment has no bag of its own.
The example's age (Covington et al. 2016) is part of m in training and 0 when asked.

Shape letters: U users of a batch, N items, Z items of the bags, H width of the hidden layer,
C context names.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bags import Bags, recency_weights, row_bags, unit_length
from models.history import History
from models.neural.learning import BatchLearner, LearningConfig
from models.neural.next_actions import NextActionLearner, ages, equal_shares
from models.neural.side_inputs import ContextVectors
from models.onnx_graph import CLOCK_PORT, CONTEXT_PORT, OnnxGraph, Port
from models.side_features import NO_SIDE, SideFeatures, clock_inputs, context_rows

_NUM_AGES: Final = 2
_NUM_TIMES: Final = 4 + _NUM_AGES


@dataclass(frozen=True, slots=True, kw_only=True)
class BagAutoencoderConfig:
    """Sizes of the autoencoder.

    Attributes:
        model_width: of the hidden layer.
        dropout: share of a bag's items that are not read in training.
        length: newest items of which the bag before a moment is made, in training.
        context_width: of the vector of each context name.
    """

    model_width: int = 200
    dropout: float = 0.3
    length: int = 200
    context_width: int = 8


class Moments(NamedTuple):
    """When bags are asked about.

    Attributes:
        context_UC: as `models.side_features.context_rows`; int64.
        clock_U4: as `models.side_features.clock_inputs`.
        age_U: of the example, as `models.neural.next_actions.ages`; 0 at serving.
    """

    context_UC: npt.NDArray[np.int64]
    clock_U4: npt.NDArray[np.float32]
    age_U: npt.NDArray[np.float32]


class BagAutoencoder(nn.Module):
    """One hidden layer between a bag and a logit for every item."""

    def __init__(
        self, config: BagAutoencoderConfig, num_items: int, *, side: SideFeatures = NO_SIDE
    ) -> None:
        super().__init__()
        if not 0 <= config.dropout < 1:
            raise ValueError(f"dropout is {config.dropout}; at least 0 and below 1 expected")
        self.config = config
        width = config.model_width
        self.read = nn.Parameter(torch.randn(num_items, width) / max(num_items, 1) ** 0.5)
        self.read_bias = nn.Parameter(torch.zeros(width))
        self.out = nn.Parameter(0.3 * torch.randn(num_items, width) / width**0.5)
        self.out_bias = nn.Parameter(torch.zeros(num_items))
        self.contexts = ContextVectors(side, config.context_width) if side.context else None
        self.moment = None
        if side.tells_moments:
            num_inputs = len(side.context) * config.context_width + _NUM_TIMES
            self.moment = nn.Linear(num_inputs, width, bias=False)

    def forward(
        self, bags: Bags, weight_Z: npt.NDArray[np.float32], moment: Moments | None = None
    ) -> Tensor:
        """Return the logit of every item for each bag, `[U, N]`.

        Args:
            bags: may be empty ones.
            weight_Z: how much each of their items is read.
            moment: when they are asked about; read where moments are told.
        """
        read_UH = functional.embedding_bag(
            torch.from_numpy(bags.item_Z),
            self.read,
            torch.from_numpy(bags.begin_U[:-1]),
            mode="sum",
            per_sample_weights=torch.from_numpy(weight_Z),
        )
        if self.moment is not None:
            assert moment is not None, "the feed has what the network reads"
            read_UH = read_UH + self.moment(self._inputs(moment))
        hidden_UH = torch.tanh(read_UH + self.read_bias)
        return torch.addmm(self.out_bias, hidden_UH, self.out.T)

    def _inputs(self, moment: Moments) -> Tensor:
        age_U1 = torch.from_numpy(moment.age_U)[:, None]
        times = [torch.from_numpy(moment.clock_U4), age_U1, age_U1.sqrt()]
        if self.contexts is None:
            return torch.cat(times, 1)
        return torch.cat([self.contexts(torch.from_numpy(moment.context_UC)).flatten(1), *times], 1)

    def graph(self) -> bytes:
        """Return the serving graph, to scores_BN.

        Its inputs are bags side by side, Y places each: item_BY are the codes of their items,
        weight_BY how much they are read, 0 where a bag is shorter.
        """
        weights = {name: value.numpy() for name, value in self.state_dict().items()}
        graph = OnnxGraph(weights)
        read_BYH = graph.op("Gather", graph.constant(weights["read"]), "item_BY")
        weight_B1Y = graph.op("Unsqueeze", "weight_BY", graph.ints(1))
        read_BH = graph.op("Squeeze", graph.op("MatMul", weight_B1Y, read_BYH), graph.ints(1))
        places = ("batch", "places")
        ports = [Port("item_BY", places, is_whole=True), Port("weight_BY", places)]
        if self.moment is not None:
            inputs = CLOCK_PORT.name
            ports.append(CLOCK_PORT)
            if self.contexts is not None:
                inputs = graph.op("Concat", graph.contexts(), inputs, axis=1)
                ports.append(CONTEXT_PORT)
            # Ages of 0 are no inputs.
            matrix = graph.constant(weights["moment.weight"][:, :-_NUM_AGES].T)
            read_BH = graph.op("Add", read_BH, graph.op("MatMul", inputs, matrix))
        hidden_BH = graph.op("Tanh", graph.op("Add", read_BH, graph.constant(weights["read_bias"])))
        out, out_bias = (graph.constant(weights[name]) for name in ("out", "out_bias"))
        graph.op("Gemm", hidden_BH, out, out_bias, transB=1, output="scores_BN")
        return graph.serialise(
            "autoencoder",
            ports,
            [Port("scores_BN", ("batch", len(weights["out"])))],
        )


class BagLearner(BatchLearner):
    """One fit: bags, of which a part is read, are to be restored whole."""

    _network: BagAutoencoder

    def __init__(
        self, network: BagAutoencoder, bags: Bags, config: LearningConfig, seed: int
    ) -> None:
        super().__init__(network, config, seed)
        self._bags = bags

    def _examples(self) -> npt.NDArray[np.int64]:
        return self._generator.permutation(len(self._bags))

    def _loss(self, example_B: npt.NDArray[np.int64]) -> Tensor:
        bags = self._bags.select(example_B)
        dropout = self._network.config.dropout
        kept_Z = (self._generator.random(len(bags.item_Z)) >= dropout) / (1 - dropout)
        read_Z = unit_length(bags, np.ones(len(bags.item_Z), np.float32)) * kept_Z
        chance_UN = functional.log_softmax(self._network(bags, read_Z.astype(np.float32)), dim=1)
        share_Z = 1 / bags.sizes[bags.owners]
        own_Z = chance_UN[torch.from_numpy(bags.owners), torch.from_numpy(bags.item_Z)]
        return -(own_Z * torch.from_numpy(share_Z.astype(np.float32))).sum() / len(bags)


class MomentLearner(NextActionLearner):
    """One fit: what came at a moment is to be foreseen from the bag before it."""

    _network: BagAutoencoder

    def __init__(
        self,
        network: BagAutoencoder,
        history: History,
        config: LearningConfig,
        seed: int,
        *,
        half_life: float | None,
        num_user_examples: int,
    ) -> None:
        super().__init__(network, history, config, seed)
        self._half_life = half_life
        self._num_user_examples = num_user_examples
        self._side = history.side or NO_SIDE
        self._age_E = ages(self._actions.time_E) * np.float32(self._side.clock)

    def _examples(self) -> npt.NDArray[np.int64]:
        drawn = equal_shares(self._actions.owner_E, self._num_user_examples, self._generator)
        return self._generator.permutation(drawn)

    def _loss(self, example_B: npt.NDArray[np.int64]) -> Tensor:
        actions, sizes = self._actions, self._network.config
        bags = row_bags(actions.items_before(example_B, sizes.length))
        kept_Z = (self._generator.random(len(bags.item_Z)) >= sizes.dropout) / (1 - sizes.dropout)
        read_Z = unit_length(bags, recency_weights(bags, self._half_life)) * kept_Z
        moments = Moments(
            context_rows(actions.context_EC[example_B], self._side),
            clock_inputs(actions.asked_E[example_B] * self._side.clock),
            self._age_E[example_B],
        )
        logit_UN = self._network(bags, read_Z.astype(np.float32), moments)
        # Lists leave out what the user has acted upon.
        is_read_UN = torch.zeros(logit_UN.shape, dtype=torch.bool)
        is_read_UN[torch.from_numpy(bags.owners), torch.from_numpy(bags.item_Z)] = True
        target_B = torch.from_numpy(actions.target_E[example_B])
        return functional.cross_entropy(logit_UN.masked_fill(is_read_UN, -torch.inf), target_B)
