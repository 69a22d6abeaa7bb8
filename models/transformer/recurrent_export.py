"""How does a trained LSTM leave torch? Its tokens and heads are the transformer's.

Shape letters as in `network`; N items, R rows of the item matrix, S state width.
"""

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from models.neural.item_graph import add_scores, rows_of_both
from models.onnx_graph import CONTEXT_PORT, Arrays, OnnxGraph, Port
from models.transformer.export import query, token_states, what_is_asked
from models.transformer.recurrent import RecurrentConfig

# ONNX orders the gates input, output, forget, cell; torch input, forget, cell, output.
_GATES = (0, 3, 1, 2)


def recurrent_graph(
    config: RecurrentConfig,
    weights: Arrays,
    unit_RI: npt.NDArray[np.float32],
    *,
    target_action: int,
    grows: bool = False,
) -> bytes:
    """Return the serving graph, from token codes to scores.

    Inputs: item_BL, action_BL, gap_BL, user_B, length_B, request_gap_B and, where the network reads
    contexts, context_BC, as `models.graph_inputs` makes them. Output: scores_BN.

    Args:
        config: the network's sizes.
        weights: of `RecurrentNetwork`; the user embedding 0 where it is no input.
        unit_RI: vectors of length 1 of "no item" and of all items.
        target_action: code of the action that scores are about.
        grows: whether items that came after training are read and scored: see
            `models.neural.item_graph`.
    """
    graph = OnnxGraph(weights)
    if grows:
        item_BLI = rows_of_both(graph, "item_BL", unit_RI)
    else:
        item_BLI = graph.op("Gather", graph.constant(unit_RI), "item_BL")
    token_BLM = token_states(graph, item_BLI)
    last_B1 = graph.op("Unsqueeze", graph.op("Sub", "length_B", graph.ints(1)), graph.ints(1))
    last_B11 = graph.op("Unsqueeze", last_B1, graph.ints(2))
    last_BM = graph.op(
        "Squeeze", graph.op("GatherND", token_BLM, last_B11, batch_dims=1), graph.ints(1)
    )
    mixed_BM = graph.linear("blocks.1", _last_state(graph, config, token_BLM))
    state_BM = graph.norm("final_norm", graph.op("Add", last_BM, mixed_BM))
    # A code for each sequence: lengths are 1 and more.
    action_B = graph.op("Mul", graph.op("Sign", "length_B"), graph.ints(target_action))
    query_BI = query(graph, config, what_is_asked(graph, state_BM, action_B))
    more, scores = add_scores(graph, query_BI, unit_RI[1:], grows=grows)
    sequence, each = ("batch", "length"), ("batch",)
    return graph.serialise(
        "lstm",
        [
            *(Port(name, sequence, is_whole=True) for name in ("item_BL", "action_BL", "gap_BL")),
            *(Port(name, each, is_whole=True) for name in ("user_B", "length_B", "request_gap_B")),
            *([CONTEXT_PORT] if graph.reads_contexts else []),
            *more,
        ],
        [scores],
    )


def _last_state(graph: OnnxGraph, config: RecurrentConfig, token_BLM: str) -> str:
    """Return the top layer's state after each sequence's last token, `[B, S]`."""
    state_LBS = graph.op("Transpose", token_BLM, perm=[1, 0, 2])
    length_B = graph.op("Cast", "length_B", to=TensorProto.INT32)
    last = ""
    for layer in range(config.num_blocks):
        bias = np.concatenate(
            [_gates(graph.weight(f"blocks.0.bias_{side}_l{layer}")) for side in ("ih", "hh")]
        )
        states, last = graph.ops(
            "LSTM",
            2,
            state_LBS,
            graph.constant(_gates(graph.weight(f"blocks.0.weight_ih_l{layer}"))[None]),
            graph.constant(_gates(graph.weight(f"blocks.0.weight_hh_l{layer}"))[None]),
            graph.constant(bias[None]),
            length_B,
            hidden_size=config.state_width,
        )
        state_LBS = graph.op("Squeeze", states, graph.ints(1))
    return graph.op("Squeeze", last, graph.ints(0))


def _gates(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    parts = np.split(weight, len(_GATES))
    return np.concatenate([parts[gate] for gate in _GATES])
