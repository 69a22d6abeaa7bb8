"""How does the trained user encoder leave torch?

As an ONNX graph that is written node by node: no tracing, no exporter, so that what is served is
stated here and nowhere else, and the last block computes the last position alone. A test holds it
against the network to 1e-5. Batch and length are dynamic.

Shape letters as in `network`; the suffix of the last block's query position is 1.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.encoder_inputs import NUM_ACTIONS
from models.transformer.network import MASKED, NUM_COUNTERS, TIME_SCALES_S, NetworkConfig

_OPSET: Final = 20
_IR_VERSION: Final = 10
_NORM_EPSILON: Final = 1e-5
_PER_SEQUENCE: Final = ("user_B", "length_B", "request_gap_B", "target_action_B")

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


def encoder_graph(config: NetworkConfig, weights: Arrays) -> bytes:
    """Return the serving graph of `Network.encode`, `queries` and `action_logits`.

    Inputs: item_BLI, action_BL, gap_BL, time_BL, user_B, length_B, request_gap_B, target_action_B,
    as `models.encoder_inputs` makes them. Outputs: query_BI (all scales included),
    counter_weight_B3 and action_chance_BA.

    Args:
        config: the network's sizes.
        weights: `TrainingState.weights()`.
    """
    graph = _Graph(
        {
            name.removeprefix("network."): value
            for name, value in weights.items()
            if name.startswith("network.")
        }
    )
    hidden, last_B1 = _tokens(graph)
    for number in range(config.num_blocks):
        is_last = number == config.num_blocks - 1
        hidden = _block(graph, config, f"blocks.{number}.", hidden, last_B1 if is_last else None)
    state_BM = graph.norm("final_norm", graph.op("Squeeze", hidden, graph.ints(1)))
    _heads(graph, config, state_BM)
    return graph.serialise(config)


class _Graph:
    """Collects nodes and constants; every value has a generated name."""

    def __init__(self, weights: Arrays) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node and return its output's name."""
        name = output or f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array: npt.NDArray[Any]) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def ints(self, *values: int) -> str:
        """Add a constant vector of int64."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def weight(self, name: str) -> npt.NDArray[Any]:
        """Return a weight of the network."""
        return self._weights[name]

    def embed(self, name: str, rows: str) -> str:
        """Look rows up in an embedding."""
        return self.op("Gather", self.constant(self.weight(f"{name}.weight")), rows)

    def linear(self, name: str, value: str, part: slice = slice(None), scale: float = 1.0) -> str:
        """Apply the given output units of a linear layer."""
        matrix = self.constant(self.weight(f"{name}.weight")[part].T * np.float32(scale))
        bias = self.constant(self.weight(f"{name}.bias")[part] * np.float32(scale))
        return self.op("Add", self.op("MatMul", value, matrix), bias)

    def norm(self, name: str, value: str) -> str:
        """Apply a layer normalisation."""
        gain = self.constant(self.weight(f"{name}.weight"))
        bias = self.constant(self.weight(f"{name}.bias"))
        return self.op("LayerNormalization", value, gain, bias, axis=-1, epsilon=_NORM_EPSILON)

    def silu(self, value: str) -> str:
        """Apply x * sigmoid(x)."""
        return self.op("Mul", value, self.op("Sigmoid", value))

    def serialise(self, config: NetworkConfig) -> bytes:
        """Return the checked model."""
        sequence: list[str | int | None] = ["batch", "length"]
        inputs: list[tuple[str, int, list[str | int | None]]] = [
            ("item_BLI", TensorProto.FLOAT, [*sequence, config.item_width]),
            ("action_BL", TensorProto.INT64, sequence),
            ("gap_BL", TensorProto.INT64, sequence),
            ("time_BL", TensorProto.FLOAT, sequence),
        ]
        inputs.extend((name, TensorProto.INT64, ["batch"]) for name in _PER_SEQUENCE)
        outputs: list[tuple[str, int, list[str | int | None]]] = [
            ("query_BI", TensorProto.FLOAT, ["batch", config.item_width]),
            ("counter_weight_B3", TensorProto.FLOAT, ["batch", NUM_COUNTERS]),
            ("action_chance_BA", TensorProto.FLOAT, ["batch", NUM_ACTIONS]),
        ]
        graph = helper.make_graph(
            self._nodes,
            "user_encoder",
            [helper.make_tensor_value_info(*entry) for entry in inputs],
            [helper.make_tensor_value_info(*entry) for entry in outputs],
            self._constants,
        )
        model = helper.make_model(
            graph,
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            producer_name="headrace",
        )
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _tokens(graph: _Graph) -> tuple[str, str]:
    """Return the token states `[B, L, M]` and the last token's position `[B, 1]`."""
    user_B1U = graph.op("Unsqueeze", graph.embed("user_embedding", "user_B"), graph.ints(1))
    item_width = graph.weight("token.weight").shape[1] - sum(
        graph.weight(f"{name}_embedding.weight").shape[1] for name in ("action", "gap", "user")
    )
    # One matrix product a part instead of one over the concatenation: the embeddings' products
    # are folded into their tables, and the user's is computed once a sequence.
    matrix = graph.weight("token.weight").T
    hidden = graph.op("MatMul", "item_BLI", graph.constant(matrix[:item_width]))
    start = item_width
    for name, rows in (("action", "action_BL"), ("gap", "gap_BL"), ("user", None)):
        table = graph.weight(f"{name}_embedding.weight")
        folded = matrix[start : start + table.shape[1]]
        if rows is None:
            part = graph.op("MatMul", user_B1U, graph.constant(folded))
        else:
            part = graph.op("Gather", graph.constant(table @ folded), rows)
        hidden = graph.op("Add", hidden, part)
        start += table.shape[1]
    hidden = graph.op("Add", hidden, graph.constant(graph.weight("token.bias")))
    last_B1 = graph.op("Unsqueeze", graph.op("Sub", "length_B", graph.ints(1)), graph.ints(1))
    return hidden, last_B1


def _block(
    graph: _Graph, config: NetworkConfig, prefix: str, hidden: str, last_B1: str | None
) -> str:
    """Return the block's output, of every position or of the last alone."""
    width, heads = config.model_width, config.num_heads
    head_width = width // heads
    normed = graph.norm(prefix + "attention_norm", hidden)
    key_value = graph.linear(prefix + "query_key_value", normed, slice(width, None))
    if last_B1 is not None:
        # [B, 1] indices into axis 1 of [B, L, M]: one row of each sequence.
        last_B11 = graph.op("Unsqueeze", last_B1, graph.ints(2))
        hidden = graph.op("GatherND", hidden, last_B11, batch_dims=1)
        normed = graph.op("GatherND", normed, last_B11, batch_dims=1)
    scale = 1 / math.sqrt(head_width)
    query = graph.linear(prefix + "query_key_value", normed, slice(width), scale)
    shape = graph.ints(0, -1, heads, head_width)
    query = graph.op("Transpose", graph.op("Reshape", query, shape), perm=[0, 2, 1, 3])
    key, value = _split(graph, key_value, width)
    key = graph.op("Transpose", graph.op("Reshape", key, shape), perm=[0, 2, 3, 1])
    value = graph.op("Transpose", graph.op("Reshape", value, shape), perm=[0, 2, 1, 3])
    logits = graph.op("MatMul", query, key)
    logits = graph.op("Add", logits, _bias(graph, config, prefix, last_B1))
    weights = graph.op("Softmax", logits, axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    mixed = graph.op("Reshape", mixed, graph.ints(0, -1, width))
    hidden = graph.op("Add", hidden, graph.linear(prefix + "attention_out", mixed))
    normed = graph.norm(prefix + "feed_forward_norm", hidden)
    inner = graph.linear(prefix + "feed_forward_in", normed)
    gate, linear = _split(graph, inner, config.feed_forward_width)
    inner = graph.op("Mul", graph.silu(gate), linear)
    return graph.op("Add", hidden, graph.linear(prefix + "feed_forward_out", inner))


def _split(graph: _Graph, value: str, width: int) -> tuple[str, str]:
    """Return the first and the second `width` entries of the last axis."""
    first = graph.op("Slice", value, graph.ints(0), graph.ints(width), graph.ints(-1))
    second = graph.op("Slice", value, graph.ints(width), graph.ints(2 * width), graph.ints(-1))
    return first, second


def _bias(graph: _Graph, config: NetworkConfig, prefix: str, last_B1: str | None) -> str:
    """Return the bias of relative position and time, later keys masked."""
    steps = np.arange(config.length)
    distance_LL = steps[:, None] - steps
    table_HLL = np.where(
        distance_LL < 0, MASKED, graph.weight(prefix + "position_bias")[:, distance_LL.clip(0)]
    ).astype(np.float32)
    length = graph.op("Shape", "time_BL", start=1, end=2)
    if last_B1 is None:
        position = graph.constant(table_HLL)
        for axis in (1, 2):
            position = graph.op("Slice", position, graph.ints(0), length, graph.ints(axis))
        query_time = graph.op("Unsqueeze", "time_BL", graph.ints(2))
    else:
        table_LHL = graph.constant(table_HLL.transpose(1, 0, 2))
        table_LHL = graph.op("Slice", table_LHL, graph.ints(0), length, graph.ints(2))
        rows_BHL = graph.op("Gather", table_LHL, graph.op("Squeeze", last_B1, graph.ints(1)))
        position = graph.op("Unsqueeze", rows_BHL, graph.ints(2))
        last_time = graph.op("GatherElements", "time_BL", last_B1, axis=1)
        query_time = graph.op("Unsqueeze", last_time, graph.ints(2))
    key_time = graph.op("Unsqueeze", "time_BL", graph.ints(1))
    elapsed = graph.op("Relu", graph.op("Sub", query_time, key_time))
    elapsed = graph.op("Unsqueeze", elapsed, graph.ints(1))
    slope_HS = graph.weight(prefix + "time_slope")
    for column, scale_s in enumerate(TIME_SCALES_S):
        scaled = graph.op("Add", graph.op("Div", elapsed, graph.number(scale_s)), graph.number(1))
        slope = graph.constant(slope_HS[:, column].reshape(1, -1, 1, 1))
        position = graph.op("Add", position, graph.op("Mul", graph.op("Log", scaled), slope))
    return position


def _heads(graph: _Graph, config: NetworkConfig, state_BM: str) -> None:
    """Add the three outputs."""
    gap_BG = graph.embed("gap_embedding", "request_gap_B")
    with_gap = graph.op("Concat", state_BM, gap_BG, axis=-1)
    action_logits = graph.linear("action_head", with_gap)
    graph.op("Softmax", action_logits, axis=-1, output="action_chance_BA")
    action = graph.embed("action_embedding", "target_action_B")
    context = graph.op("Concat", with_gap, action, axis=-1)
    graph.op("Identity", graph.linear("counter_head", context), output="counter_weight_B3")
    inner = graph.silu(graph.linear("query_in", context))
    raw = graph.linear("query_out", inner)
    norm = graph.op("ReduceL2", raw, graph.ints(-1), keepdims=1)
    norm = graph.op("Max", norm, graph.number(1e-12))
    trust = graph.op("Sigmoid", graph.linear("trust_head", context))
    scale = graph.op("Div", trust, graph.number(config.temperature))
    graph.op("Mul", graph.op("Div", raw, norm), scale, output="query_BI")
