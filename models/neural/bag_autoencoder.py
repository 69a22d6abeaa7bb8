"""What does the denoising autoencoder of bags compute, and what does it lose?

Mult-DAE of Liang et al. 2018, "Variational Autoencoders for Collaborative Filtering", section 2:

    z = tanh(W x / |x| + b)        pi = softmax(V z + c)
    loss(x) = -sum of x_i log pi_i over the items i    (eq. 2, the multinomial likelihood)

where in training a share of the entries of x / |x| is dropped, and the others are scaled up for it.

Where we differ: a user's loss is divided by the size of the bag, so that those who do much do not
speak for all; there is no weight decay, training ends on the validation instead; and fewer items
are dropped than the paper's half, which was as good on ML-1M in fewer passes.

Shape letters: U users of a batch, N items, Z items of the bags, H width of the hidden layer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bags import Bags, unit_length
from models.neural.learning import BatchLearner, LearningConfig
from models.onnx_graph import OnnxGraph, Port


@dataclass(frozen=True, slots=True, kw_only=True)
class BagAutoencoderConfig:
    """Sizes of the autoencoder.

    Attributes:
        model_width: of the hidden layer.
        dropout: share of a bag's items that are not read in training.
    """

    model_width: int = 200
    dropout: float = 0.3


class BagAutoencoder(nn.Module):
    """One hidden layer between a bag and a logit for every item."""

    def __init__(self, config: BagAutoencoderConfig, num_items: int) -> None:
        super().__init__()
        if not 0 <= config.dropout < 1:
            raise ValueError(f"dropout is {config.dropout}; at least 0 and below 1 expected")
        self.config = config
        width = config.model_width
        self.read = nn.Parameter(torch.randn(num_items, width) / max(num_items, 1) ** 0.5)
        self.read_bias = nn.Parameter(torch.zeros(width))
        self.out = nn.Parameter(0.3 * torch.randn(num_items, width) / width**0.5)
        self.out_bias = nn.Parameter(torch.zeros(num_items))

    def forward(self, bags: Bags, weight_Z: npt.NDArray[np.float32]) -> Tensor:
        """Return the logit of every item for each bag, `[U, N]`.

        Args:
            bags: may be empty ones.
            weight_Z: how much each of their items is read.
        """
        read_UH = functional.embedding_bag(
            torch.from_numpy(bags.item_Z),
            self.read,
            torch.from_numpy(bags.begin_U[:-1]),
            mode="sum",
            per_sample_weights=torch.from_numpy(weight_Z),
        )
        hidden_UH = torch.tanh(read_UH + self.read_bias)
        return torch.addmm(self.out_bias, hidden_UH, self.out.T)

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
        hidden_BH = graph.op("Tanh", graph.op("Add", read_BH, graph.constant(weights["read_bias"])))
        out, out_bias = (graph.constant(weights[name]) for name in ("out", "out_bias"))
        graph.op("Gemm", hidden_BH, out, out_bias, transB=1, output="scores_BN")
        places = ("batch", "places")
        return graph.serialise(
            "autoencoder",
            [Port("item_BY", places, is_whole=True), Port("weight_BY", places)],
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
