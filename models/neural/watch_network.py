"""What does YouTube's candidate generation compute, and what does it lose on a batch?

Covington et al. 2016, "Deep Neural Networks for YouTube Recommendations", section 3: the vectors of
the watched items are averaged, joined with the example's age, and pass a tower of rectified linear
layers, whose output u is matched with a vector v of every item:

    P(next watch is i) = exp(v_i . u) / sum over all items j of exp(v_j . u)

The example's age is the time from the example to the end of the training log. In training it
explains when an item was popular; asked with age 0, the network speaks of the log's end and not of
its average, so that fresh items come up (figure 4). The paper's other inputs beside the watches,
the viewer's device and place, are the vectors of the moment's context here. Both vectors of an
item, the watched and the scored one, are its own plus the mean of its attributes', as in
`models.neural.two_tower`.

Shape letters: B examples of a batch, K newest items, N items, I item vector width, C context names,
A attribute codes of an item.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.history import History
from models.neural.item_graph import add_scores
from models.neural.learning import LearningConfig
from models.neural.next_actions import NextActionLearner, ages, equal_shares
from models.neural.side_inputs import AttributeVectors, ContextVectors, id_dropout_mask
from models.onnx_graph import CONTEXT_PORT, FLOAT, OnnxGraph, Port
from models.side_features import NO_ATTRIBUTES, NO_SIDE, SideFeatures, context_rows
from models.transformer.counters import empty_counters
from models.transformer.loss import Candidates, competition, draw_candidates, item_loss

_NUM_AGES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """Sizes of the network.

    Attributes:
        item_width: of the watched items' vectors.
        length: newest items that are averaged.
        model_width: of the tower's first layer; each further one has half the width of the one
            before, and the last is the width of the vectors that are scored.
        num_layers: of the tower.
        item_dropout: share of items before the target that are not read in training.
        id_dropout: share of the items with attributes whose own vectors are hidden in a step.
        reads_age: whether the example's age is an input.
        context_width: of the vector of each context name.
    """

    item_width: int = 64
    length: int = 10
    model_width: int = 256
    num_layers: int = 3
    item_dropout: float = 0.1
    id_dropout: float = 0.1
    reads_age: bool = True
    context_width: int = 8


class WatchNetwork(nn.Module):
    """An average, a tower, and a softmax over all items."""

    def __init__(
        self,
        config: WatchConfig,
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
        context_width = len(side.context) * config.context_width
        self.watched = nn.Parameter(torch.randn(num_items, config.item_width))
        widths = [config.model_width // 2**layer for layer in range(config.num_layers)]
        inputs = [config.item_width + context_width + _NUM_AGES, *widths[:-1]]
        self.tower = nn.ModuleList(
            [nn.Linear(read, width) for read, width in zip(inputs, widths, strict=True)]
        )
        self.items = nn.Parameter(torch.randn(num_items, widths[-1]) / widths[-1] ** 0.5)
        self.contexts = ContextVectors(side, config.context_width) if side.context else None
        self.watched_attributes = self.attributes = None
        if attributes_NA.shape[1]:
            num_codes, width = side.num_attribute_codes, widths[-1]
            self.watched_attributes = AttributeVectors(attributes_NA, num_codes, config.item_width)
            self.attributes = AttributeVectors(attributes_NA, num_codes, width, spread=width**-0.5)

    def watched_vectors(self, hidden_N: Tensor | None = None) -> Tensor:
        """Return what is read of each item, `[N, I]`; as `item_vectors`."""
        if self.watched_attributes is None:
            return self.watched
        return self.watched_attributes.added_to(self.watched, hidden_N)

    def item_vectors(self, hidden_N: Tensor | None = None) -> Tensor:
        """Return what each item is scored by, `[N, I]`.

        Args:
            hidden_N: which items' own vectors are not read; bool. None for none.
        """
        if self.attributes is None:
            return self.items
        return self.attributes.added_to(self.items, hidden_N)

    def forward(
        self,
        item_BK: Tensor,
        age_B: Tensor,
        context_BC: Tensor | None = None,
        hidden_N: Tensor | None = None,
    ) -> Tensor:
        """Return the user vectors, `[B, I]`.

        Args:
            item_BK: codes of the newest items, newest first; -1 for none; int64.
            age_B: see `ages`; 0 at serving.
            context_BC: as `models.side_features.context_rows`; read where there are contexts.
            hidden_N: as of `item_vectors`.
        """
        read_BK = (item_BK >= 0).float()
        share_BK = read_BK / read_BK.sum(1, keepdim=True).clamp(min=1)
        # A row of zeros before all others stands for "none".
        vector_BI = functional.embedding_bag(
            item_BK + 1,
            functional.pad(self.watched_vectors(hidden_N), (0, 0, 1, 0)),
            mode="sum",
            per_sample_weights=share_BK,
        )
        age_B1 = age_B[:, None] * float(self.config.reads_age)
        known = [vector_BI]
        if self.contexts is not None:
            assert context_BC is not None, "the feed has what the network reads"
            known.append(self.contexts(context_BC).flatten(1))
        vector_BI = torch.cat([*known, age_B1, age_B1.sqrt()], 1)
        for layer in self.tower:
            vector_BI = functional.relu(layer(vector_BI))
        return vector_BI

    def graph(self) -> bytes:
        """Return the serving graph, from `item_BK` as above to scores_BN at age 0."""
        weights = {name: value.numpy() for name, value in self.state_dict().items()}
        with torch.inference_mode():
            watched_NI, item_NI = self.watched_vectors().numpy(), self.item_vectors().numpy()
        # Ages of 0 are no inputs.
        weights["tower.0.weight"] = weights["tower.0.weight"][:, :-_NUM_AGES]
        graph = OnnxGraph(weights)
        read_BK = graph.op("Cast", graph.op("GreaterOrEqual", "item_BK", graph.ints(0)), to=FLOAT)
        num_B1 = graph.op("ReduceSum", read_BK, graph.ints(1), keepdims=1)
        share_BK = graph.op("Div", read_BK, graph.op("Max", num_B1, graph.number(1)))
        share_B1K = graph.op("Unsqueeze", share_BK, graph.ints(1))
        mean_B1I = graph.op("MatMul", share_B1K, graph.rows("item_BK", watched_NI))
        vector_BI = graph.op("Squeeze", mean_B1I, graph.ints(1))
        ports = [Port("item_BK", ("batch", self.config.length), is_whole=True)]
        if self.contexts is not None:
            vector_BI = graph.op("Concat", vector_BI, graph.contexts(), axis=1)
            ports.append(CONTEXT_PORT)
        for layer in range(self.config.num_layers):
            vector_BI = graph.op("Relu", graph.linear(f"tower.{layer}", vector_BI))
        _, scores = add_scores(graph, vector_BI, item_NI, grows=False)
        return graph.serialise("youtube", ports, [scores])


class WatchLearner(NextActionLearner):
    """One fit: as many examples of each user in every pass, whoever does more."""

    _network: WatchNetwork

    def __init__(
        self,
        network: WatchNetwork,
        history: History,
        config: LearningConfig,
        seed: int,
        *,
        num_user_examples: int,
        num_negatives: int,
        max_full: int,
    ) -> None:
        super().__init__(network, history, config, seed)
        self._age_E = ages(self._actions.time_E)
        self._side = history.side or NO_SIDE
        self._num_user_examples = num_user_examples
        self._num_negatives = num_negatives
        self._max_full = max_full
        self._popularity_N = self._num_targets_N.astype(np.float64)
        self._known = np.arange(self._num_items)
        if network.attributes is not None and network.watched_attributes is not None:
            is_learned_N = self._num_targets_N > 0
            network.watched_attributes.keep(is_learned_N, network.watched)
            network.attributes.keep(is_learned_N, network.items)
            self._start_average()
            # Of the others nothing would be learned but that nobody took them.
            self._known = np.flatnonzero(~network.attributes.speak_alone(is_learned_N))

    def _examples(self) -> npt.NDArray[np.int64]:
        drawn = equal_shares(self._actions.owner_E, self._num_user_examples, self._generator)
        return self._generator.permutation(drawn)

    def _loss(self, example_B: npt.NDArray[np.int64]) -> Tensor:
        network = self._network
        hidden_N = id_dropout_mask(network.attributes, network.config.id_dropout, self._generator)
        item_NI = network.item_vectors(hidden_N)
        before_BK = self._actions.items_before(example_B, network.config.length)
        hidden_BK = self._generator.random(before_BK.shape) < network.config.item_dropout
        query_BI = network(
            torch.from_numpy(np.where(hidden_BK, -1, before_BK)),
            torch.from_numpy(self._age_E[example_B]),
            torch.from_numpy(context_rows(self._actions.context_EC[example_B], self._side)),
            hidden_N,
        )
        target_B = self._actions.target_E[example_B]
        candidates = self._candidates()
        return item_loss(
            query_BI,
            torch.zeros(len(target_B), 3),
            item_NI[torch.from_numpy(target_B)],
            item_NI[torch.from_numpy(candidates.items_C)],
            competition(
                target_B,
                candidates,
                empty_counters(len(target_B), self._num_items),
                before_BK,
                num_items=self._num_items,
            ),
        )

    def _candidates(self) -> Candidates:
        drawn = draw_candidates(
            self._popularity_N[self._known],
            self._generator,
            num_negatives=self._num_negatives,
            max_full=self._max_full,
        )
        return replace(drawn, items_C=self._known[drawn.items_C])
