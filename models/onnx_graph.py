"""How is a graph of ONNX written, node by node?

No tracing and no exporter: what is served is stated by whoever writes the graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET: Final = 20
_IR_VERSION: Final = 10
_NORM_EPSILON: Final = 1e-5
_CONTEXTS: Final = "contexts.vectors"

FLOAT: Final = TensorProto.FLOAT
"""What a `Cast` to float32 is told."""

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


class Port(NamedTuple):
    """An input or output of a graph.

    Attributes:
        name: of the value.
        shape: sizes; a name for one that may differ from call to call.
        is_whole: whether it holds int64; float32 otherwise.
    """

    name: str
    shape: Sequence[str | int]
    is_whole: bool = False


CONTEXT_PORT: Final = Port("context_BC", ("batch", "contexts"), is_whole=True)
"""What a graph that reads contexts is fed, as `models.side_features.context_rows`."""

CLOCK_PORT: Final = Port("clock_B4", ("batch", 4))
"""What a graph that reads the time is fed, as `models.side_features.clock_inputs`."""


class OnnxGraph:
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

    def ops(self, kind: str, num: int, *inputs: str, **attributes: Any) -> list[str]:  # noqa: ANN401
        """Add a node with its first `num` outputs and return their names."""
        names = [f"v{len(self._nodes)}_{place}" for place in range(num)]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

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

    @property
    def reads_contexts(self) -> bool:
        """Whether the network has vectors of contexts."""
        return _CONTEXTS in self._weights

    def embed(self, name: str, rows: str) -> str:
        """Look rows up in an embedding."""
        return self.op("Gather", self.constant(self.weight(f"{name}.weight")), rows)

    def contexts(self, *, are_added: bool = False) -> str:
        """Look up the vectors of `CONTEXT_PORT`, side by side or their sum."""
        vectors_BCX = self.op("Gather", self.constant(self.weight(_CONTEXTS)), CONTEXT_PORT.name)
        if are_added:
            return self.op("ReduceSum", vectors_BCX, self.ints(1), keepdims=0)
        return self.op("Flatten", vectors_BCX)

    def rows(self, codes: str, matrix: npt.NDArray[np.float32]) -> str:
        """Look rows of a matrix up; the code -1 stands for zeros."""
        padded = self.constant(np.concatenate([np.zeros_like(matrix[:1]), matrix]))
        return self.op("Gather", padded, self.op("Add", codes, self.ints(1)))

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

    def normalised(self, value: str) -> str:
        """Scale the last axis to length 1; zeros stay."""
        length = self.op("ReduceL2", value, self.ints(-1), keepdims=1)
        return self.op("Div", value, self.op("Max", length, self.number(1e-12)))

    def serialise(self, name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> bytes:
        """Return the checked model."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [_declared(port) for port in inputs],
            [_declared(port) for port in outputs],
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


def _declared(port: Port) -> Any:  # noqa: ANN401 - onnx ships no types for it
    kind = TensorProto.INT64 if port.is_whole else TensorProto.FLOAT
    return helper.make_tensor_value_info(port.name, kind, list(port.shape))
