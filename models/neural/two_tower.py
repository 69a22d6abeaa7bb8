"""What do the two towers compute, and what do they lose on a batch?

Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations":

    s(x, y) = <u(x), v(y)> / temperature, both of unit length
    s_c(x, y) = s(x, y) - log p(y), p the chance that y is in a batch

and the loss is the softmax cross-entropy of s_c over the items of the batch. Without the correction
an item is the more often a negative the more popular it is, and is ranked too low for it.

The item tower adds the mean vector of an item's attributes to the item's own vector. In training
own vectors are hidden at random, so that attributes learn to speak alone (as the inputs of Volkovs,
Yu & Poutanen 2017, "DropoutNet"); an item that no example is about has no own vector at all. The
user tower also reads the context of the moment.

Shape letters: B examples of a batch, C different items of the batch, N items, K newest items,
P pools, I item vector width, M width of the tower.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.graph_inputs import user_rows
from models.history import History
from models.neural.item_graph import add_scores, rows_of_both
from models.neural.learning import LearningConfig
from models.neural.next_actions import NextActionLearner
from models.neural.side_inputs import AttributeVectors, ContextVectors, id_dropout_mask
from models.onnx_graph import CONTEXT_PORT, FLOAT, OnnxGraph, Port
from models.side_features import NO_ATTRIBUTES, NO_SIDE, SideFeatures, context_rows
from models.transformer.counters import empty_counters
from models.transformer.loss import Candidates, competition, item_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoTowerConfig:
    """Sizes of the towers.

    Attributes:
        item_width: of the item vectors, which the item tower gives and the user tower reads.
        length: newest items that the user tower reads.
        num_pools: means of them, each weighted by recency in its own, learned way.
        model_width: of the user tower's hidden layer.
        num_user_buckets: user vectors, by hash.
        user_width: of a user vector.
        user_dropout: share of examples whose user is taken for unknown; from 1 on users are
            no input at all.
        item_dropout: share of items before the target that are not read.
        id_dropout: share of the items with attributes whose own vector is hidden in a step.
        context_width: of the vector of each context name.
        temperature: divides the cosines.
    """

    item_width: int = 64
    length: int = 20
    num_pools: int = 3
    model_width: int = 128
    num_user_buckets: int = 8192
    user_width: int = 16
    user_dropout: float = 1.0
    item_dropout: float = 0.1
    id_dropout: float = 0.1
    context_width: int = 8
    temperature: float = 0.07


class TwoTowerNetwork(nn.Module):
    """A tower for users and one for items, which meet in a dot product."""

    def __init__(
        self,
        config: TwoTowerConfig,
        num_items: int,
        *,
        side: SideFeatures = NO_SIDE,
        attributes_NA: npt.NDArray[np.int32] = NO_ATTRIBUTES,
    ) -> None:
        """Begin at random.

        Args:
            config: sizes.
            num_items: of the catalogue.
            side: which contexts there are.
            attributes_NA: attribute codes of the items; none where A is 0.
        """
        super().__init__()
        self.config = config
        num_contexts = len(side.context)
        width = config.num_pools * config.item_width + config.user_width
        width += num_contexts * config.context_width
        self.items = nn.Parameter(torch.randn(num_items, config.item_width))
        num_rows = 1 + config.num_user_buckets * (config.user_dropout < 1)
        # Nobody known at first: the row of a user who never came stays as the unknown's, zero.
        self.users = nn.Parameter(torch.zeros(num_rows, config.user_width))
        self.recency = nn.Parameter(_first_recency(config))
        self.hidden = nn.Linear(width, config.model_width)
        self.out = nn.Linear(config.model_width, config.item_width)
        self.skip = nn.Linear(width, config.item_width, bias=False)
        # Last, so that without side features the first weights are those of a network without.
        self.contexts = ContextVectors(side, config.context_width) if num_contexts else None
        self.attributes = None
        if attributes_NA.shape[1]:
            self.attributes = AttributeVectors(
                attributes_NA, side.num_attribute_codes, config.item_width
            )

    def item_vectors(self, hidden_N: Tensor | None = None) -> Tensor:
        """Return the item tower's output, `[N, I]`, of unit length.

        Args:
            hidden_N: which items' own vectors are not read; bool. None for none.
        """
        if self.attributes is None:
            return functional.normalize(self.items, dim=-1)
        return functional.normalize(self.attributes.added_to(self.items, hidden_N), dim=-1)

    def user_vectors(
        self, item_BK: Tensor, user_B: Tensor, vector_NI: Tensor, context_BC: Tensor | None = None
    ) -> Tensor:
        """Return the user tower's output, `[B, I]`, of unit length.

        Args:
            item_BK: codes of the newest items, newest first; -1 for none; int64.
            user_B: rows of the user vectors, 0 for unknown; int64.
            vector_NI: what `item_vectors` returned.
            context_BC: as `models.side_features.context_rows`; read where there are contexts.
        """
        read_BK = (item_BK >= 0).float()
        # A row of zeros before all others stands for "none".
        read_BKI = functional.embedding(item_BK + 1, functional.pad(vector_NI, (0, 0, 1, 0)))
        weight_BPK = self.recency.exp() * read_BK[:, None]
        weight_BPK = weight_BPK / weight_BPK.sum(-1, keepdim=True).clamp(min=1e-6)
        pooled_BX = torch.bmm(weight_BPK, read_BKI).flatten(1)
        user_BX = functional.embedding(user_B, self.users, padding_idx=0)
        known_BX = torch.cat([pooled_BX, user_BX], 1)
        if self.contexts is not None:
            assert context_BC is not None, "the feed has what the network reads"
            known_BX = torch.cat([known_BX, self.contexts(context_BC).flatten(1)], 1)
        vector_BI = self.out(functional.relu(self.hidden(known_BX))) + self.skip(known_BX)
        return functional.normalize(vector_BI, dim=-1)

    def graph(self) -> bytes:
        """Return the serving graph, from the inputs of `user_vectors` to scores_BN.

        With attributes also items that came later are read and scored: see `item_graph`.
        """
        weights = {name: value.numpy() for name, value in self.state_dict().items()}
        graph = OnnxGraph(weights)
        with torch.inference_mode():
            unit_NI = self.item_vectors().numpy()
        grows = self.attributes is not None
        read = rows_of_both if grows else OnnxGraph.rows
        read_BKI = read(graph, "item_BK", unit_NI)
        pooled_BPI = graph.op("MatMul", self._pools(graph), read_BKI)
        pooled_BX = graph.op("Flatten", pooled_BPI)
        user_BX = graph.op("Gather", graph.constant(weights["users"]), "user_B")
        known = [pooled_BX, user_BX]
        ports = [
            Port("item_BK", ("batch", self.config.length), is_whole=True),
            Port("user_B", ("batch",), is_whole=True),
        ]
        if self.contexts is not None:
            known.append(graph.contexts())
            ports.append(CONTEXT_PORT)
        known_BX = graph.op("Concat", *known, axis=1)
        hidden_BM = graph.op("Relu", graph.linear("hidden", known_BX))
        skipped_BI = graph.op("MatMul", known_BX, graph.constant(weights["skip.weight"].T))
        vector_BI = graph.op("Add", graph.linear("out", hidden_BM), skipped_BI)
        query_BI = graph.normalised(vector_BI)
        more, scores = add_scores(graph, query_BI, unit_NI, grows=grows)
        return graph.serialise("two_tower", [*ports, *more], [scores])

    def _pools(self, graph: OnnxGraph) -> str:
        """Return how much each pool reads of each item, `[B, P, K]`."""
        read_BK = graph.op("Cast", graph.op("GreaterOrEqual", "item_BK", graph.ints(0)), to=FLOAT)
        recency_PK = graph.constant(np.exp(graph.weight("recency")))
        weight_BPK = graph.op("Mul", recency_PK, graph.op("Unsqueeze", read_BK, graph.ints(1)))
        sum_BP1 = graph.op("ReduceSum", weight_BPK, graph.ints(-1), keepdims=1)
        return graph.op("Div", weight_BPK, graph.op("Max", sum_BP1, graph.number(1e-6)))


def _first_recency(config: TwoTowerConfig) -> Tensor:
    """Return log-weights that halve over 1, 4, 16, ... items."""
    half_life_P1 = 4.0 ** np.arange(config.num_pools)[:, None]
    return torch.tensor(-np.arange(config.length) * np.log(2) / half_life_P1, dtype=torch.float32)


class TwoTowerLearner(NextActionLearner):
    """One fit: in-batch softmax, corrected for how often each item is in a batch."""

    _network: TwoTowerNetwork

    def __init__(
        self,
        network: TwoTowerNetwork,
        history: History,
        config: LearningConfig,
        seed: int,
        *,
        corrects_sampling: bool,
    ) -> None:
        super().__init__(network, history, config, seed)
        self._corrects_sampling = corrects_sampling
        self._share_N = self._num_targets_N / max(len(self._actions), 1)
        self._side = history.side or NO_SIDE
        if network.attributes is not None:
            network.attributes.keep(self._num_targets_N > 0, network.items)
            self._start_average()

    def _examples(self) -> npt.NDArray[np.int64]:
        return self._generator.permutation(len(self._actions))

    def _loss(self, example_B: npt.NDArray[np.int64]) -> Tensor:
        network, sizes = self._network, self._network.config
        before_BK = self._actions.items_before(example_B, sizes.length)
        hidden_BK = self._generator.random(before_BK.shape) < sizes.item_dropout
        rows_B = user_rows(self._actions.user_E[example_B], asdict(network.config))
        rows_B[self._generator.random(len(rows_B)) < sizes.user_dropout] = 0
        vector_NI = network.item_vectors(
            id_dropout_mask(network.attributes, sizes.id_dropout, self._generator)
        )
        vector_BI = network.user_vectors(
            torch.from_numpy(np.where(hidden_BK, -1, before_BK)),
            torch.from_numpy(rows_B),
            vector_NI,
            torch.from_numpy(context_rows(self._actions.context_EC[example_B], self._side)),
        )
        target_B = self._actions.target_E[example_B]
        candidates = self._candidates(target_B)
        return item_loss(
            vector_BI / sizes.temperature,
            torch.zeros(len(target_B), 3),
            vector_NI[torch.from_numpy(target_B)],
            vector_NI[torch.from_numpy(candidates.items_C)],
            competition(
                target_B,
                candidates,
                empty_counters(len(target_B), self._num_items),
                before_BK,
                num_items=self._num_items,
            ),
        )

    def _candidates(self, target_B: npt.NDArray[np.int64]) -> Candidates:
        """Return the batch's items, each once, and how likely each was to be there."""
        items_C = np.unique(target_B)
        if not self._corrects_sampling:
            return Candidates(items_C=items_C, log_probability_C=np.zeros(len(items_C), np.float32))
        # One minus the chance that none of the draws is the item.
        missed_C = np.log1p(-np.minimum(self._share_N[items_C], 1 - 1e-9))
        chance_C = -np.expm1(len(target_B) * missed_C)
        return Candidates(items_C=items_C, log_probability_C=np.log(chance_C).astype(np.float32))
