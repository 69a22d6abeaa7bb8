"""How is a bundle's graph run? With ONNX Runtime, on one thread."""

from typing import Any, Final

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from models.bundle import ENCODER, Bundle, BundleRefused

_ONNX_ERRORS: Final = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NotImplemented,
)


def session_of(bundle: Bundle) -> Any:  # noqa: ANN401 - onnxruntime ships no types
    """Return what runs the bundle's graph.

    Raises:
        BundleRefused: it has none, it has changed since it was checked, or it cannot be run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A waiting thread must not burn the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            bundle.read(ENCODER), options, providers=["CPUExecutionProvider"]
        )
    except _ONNX_ERRORS as error:
        raise BundleRefused(
            f"{bundle.folder / ENCODER}: ONNX Runtime {onnxruntime.__version__} cannot load the "
            f"graph ({error})"
        ) from error
