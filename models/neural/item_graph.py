"""How does a serving graph read and score the items that came after training?

Their unit vectors are an input, new_EI; their codes follow those of the catalogue's.

Shape letters: B sequences, N items of the catalogue, E items that came later, I item vector width.
"""

import numpy as np
import numpy.typing as npt

from models.graph_inputs import NEW_ITEMS
from models.onnx_graph import OnnxGraph, Port


def rows_of_both(graph: OnnxGraph, codes: str, unit_NI: npt.NDArray[np.float32]) -> str:
    """Look codes up among the catalogue's vectors and the new ones; -1 stands for zeros."""
    num, zeros = len(unit_NI), np.zeros_like(unit_NI, shape=(1, unit_NI.shape[1]))
    is_new = graph.op("GreaterOrEqual", codes, graph.ints(num))
    own = graph.op("Where", is_new, graph.ints(-1), codes)
    new = graph.op("Where", is_new, graph.op("Sub", codes, graph.ints(num)), graph.ints(-1))
    new_XI = graph.op("Concat", graph.constant(zeros), NEW_ITEMS, axis=0)
    read = graph.op("Gather", new_XI, graph.op("Add", new, graph.ints(1)))
    return graph.op("Add", graph.rows(own, unit_NI), read)


def add_scores(
    graph: OnnxGraph, query_BI: str, unit_NI: npt.NDArray[np.float32], *, grows: bool
) -> tuple[list[Port], Port]:
    """Add scores_BN, the products of queries and items.

    Args:
        graph: changed.
        query_BI: name of the queries.
        unit_NI: vectors of the catalogue.
        grows: whether the scores of the new items follow.

    Returns:
        Further inputs of the graph, and its output.
    """
    catalogue = graph.constant(unit_NI)
    if not grows:
        graph.op("Gemm", query_BI, catalogue, transB=1, output="scores_BN")
        return [], Port("scores_BN", ("batch", len(unit_NI)))
    own_BN = graph.op("Gemm", query_BI, catalogue, transB=1)
    new_BE = graph.op("Gemm", query_BI, NEW_ITEMS, transB=1)
    graph.op("Concat", own_BN, new_BE, axis=1, output="scores_BN")
    return [Port(NEW_ITEMS, ("new", unit_NI.shape[1]))], Port("scores_BN", ("batch", "items"))
