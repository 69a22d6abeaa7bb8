"""How does the trained user encoder leave torch?

As an ONNX graph that is written node by node: no tracing, no exporter, so that what is served is
stated here and nowhere else, and the last block computes the last position alone. A test holds it
against the network to 1e-5. Batch and length are dynamic.

Shape letters as in `network`; the suffix of the last block's query position is 1.
"""

import math
from typing import Final

import numpy as np

from models.encoder_inputs import NUM_ACTIONS
from models.onnx_graph import CONTEXT_PORT, Arrays, OnnxGraph, Port
from models.transformer.attention import MASKED
from models.transformer.network import NUM_COUNTERS, TIME_SCALES_S, NetworkConfig

_PER_SEQUENCE: Final = ("user_B", "length_B", "request_gap_B", "target_action_B")


def encoder_graph(config: NetworkConfig, weights: Arrays) -> bytes:
    """Return the serving graph of `Network.encode`, `queries` and `action_logits`.

    Inputs: item_BLI, action_BL, gap_BL, time_BL, user_B, length_B, request_gap_B, target_action_B,
    as `models.encoder_inputs` makes them, and, where the network reads contexts, context_BC.
    Outputs: query_BI (all scales included), counter_weight_B3 and action_chance_BA.

    Args:
        config: the network's sizes.
        weights: `TrainingState.weights()`.
    """
    graph = OnnxGraph(
        {
            name.removeprefix("network."): value
            for name, value in weights.items()
            if name.startswith("network.")
        }
    )
    hidden = token_states(graph, "item_BLI")
    last_B1 = graph.op("Unsqueeze", graph.op("Sub", "length_B", graph.ints(1)), graph.ints(1))
    for number in range(config.num_blocks):
        is_last = number == config.num_blocks - 1
        hidden = _block(graph, config, f"blocks.{number}.", hidden, last_B1 if is_last else None)
    state_BM = graph.norm("final_norm", graph.op("Squeeze", hidden, graph.ints(1)))
    _heads(graph, config, state_BM)
    return graph.serialise("user_encoder", *_ports(config, reads_contexts=graph.reads_contexts))


def _ports(config: NetworkConfig, *, reads_contexts: bool) -> tuple[list[Port], list[Port]]:
    """Return the graph's inputs and outputs."""
    sequence = ("batch", "length")
    inputs = [
        Port("item_BLI", (*sequence, config.item_width)),
        Port("action_BL", sequence, is_whole=True),
        Port("gap_BL", sequence, is_whole=True),
        Port("time_BL", sequence),
        *(Port(name, ("batch",), is_whole=True) for name in _PER_SEQUENCE),
        *([CONTEXT_PORT] if reads_contexts else []),
    ]
    outputs = [
        Port("query_BI", ("batch", config.item_width)),
        Port("counter_weight_B3", ("batch", NUM_COUNTERS)),
        Port("action_chance_BA", ("batch", NUM_ACTIONS)),
    ]
    return inputs, outputs


def token_states(graph: OnnxGraph, item_BLI: str) -> str:
    """Return the token states, `[B, L, M]`, of the inputs beside the items' vectors."""
    user_B1U = graph.op("Unsqueeze", graph.embed("user_embedding", "user_B"), graph.ints(1))
    item_width = graph.weight("token.weight").shape[1] - sum(
        graph.weight(f"{name}_embedding.weight").shape[1] for name in ("action", "gap", "user")
    )
    # One matrix product a part instead of one over the concatenation: the embeddings' products
    # are folded into their tables, and the user's is computed once a sequence.
    matrix = graph.weight("token.weight").T
    hidden = graph.op("MatMul", item_BLI, graph.constant(matrix[:item_width]))
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
    return graph.op("Add", hidden, graph.constant(graph.weight("token.bias")))


def _block(
    graph: OnnxGraph, config: NetworkConfig, prefix: str, hidden: str, last_B1: str | None
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


def _split(graph: OnnxGraph, value: str, width: int) -> tuple[str, str]:
    """Return the first and the second `width` entries of the last axis."""
    first = graph.op("Slice", value, graph.ints(0), graph.ints(width), graph.ints(-1))
    second = graph.op("Slice", value, graph.ints(width), graph.ints(2 * width), graph.ints(-1))
    return first, second


def _bias(graph: OnnxGraph, config: NetworkConfig, prefix: str, last_B1: str | None) -> str:
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


def _heads(graph: OnnxGraph, config: NetworkConfig, state_BM: str) -> None:
    """Add the three outputs."""
    known = graph.op("Concat", state_BM, _request(graph), axis=-1)
    action_logits = graph.linear("action_head", known)
    graph.op("Softmax", action_logits, axis=-1, output="action_chance_BA")
    asked = what_is_asked(graph, state_BM, "target_action_B")
    graph.op("Identity", graph.linear("counter_head", asked), output="counter_weight_B3")
    graph.op("Identity", query(graph, config, asked), output="query_BI")


def what_is_asked(graph: OnnxGraph, state_BM: str, action_B: str) -> str:
    """Return states side by side with their requests and the type of the action asked for."""
    action_BA = graph.embed("action_embedding", action_B)
    return graph.op("Concat", state_BM, _request(graph), action_BA, axis=-1)


def _request(graph: OnnxGraph) -> str:
    """Return what is known of the moments that lists are made at, `[B, G]`."""
    gap_BG = graph.embed("gap_embedding", "request_gap_B")
    if not graph.reads_contexts:
        return gap_BG
    return graph.op("Add", gap_BG, graph.contexts(are_added=True))


def query(graph: OnnxGraph, config: NetworkConfig, asked: str) -> str:
    """Return the queries, `[B, I]`, all scales included."""
    inner = graph.silu(graph.linear("query_in", asked))
    trust = graph.op("Sigmoid", graph.linear("trust_head", asked))
    scale = graph.op("Div", trust, graph.number(config.temperature))
    return graph.op("Mul", graph.normalised(graph.linear("query_out", inner)), scale)
