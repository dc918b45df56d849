"""ONNX files through onnxruntime, with the manners of a scikit-learn estimator. Confined child only.

Tensors kept in other files are refused: the library would follow their paths from the current folder even for a model
given as bytes. (The lock of the child has no path to follow anyway.) One thread, no logs.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import listed

Floats = npt.NDArray[np.float64]
NUMERIC = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
ROWS_AT_ONCE = 50_000
_ELSEWHERE = re.compile(
    rb"\x0a(\x08|\x88[\x80]*\x00)location"
)  # key of an entry of TensorProto.external_data


class Onnx:
    """Either one input (rows, features) without names, or one input (rows, 1) for each named column."""

    feature_names_in_: npt.NDArray[np.object_]

    def __init__(self, content: bytes, classes: tuple[str, ...], classifies: bool) -> None:
        import onnxruntime

        if _ELSEWHERE.search(content):
            raise CheckError("onnx_external_data")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        if not self._inputs:
            raise CheckError("onnx_shape_unsupported", inputs=0)
        unknown = [item.type for item in self._inputs if item.type not in {*NUMERIC, "tensor(string)"}]
        if unknown:
            raise CheckError("onnx_type_unsupported", types=listed(unknown))
        shapes = [list(item.shape) for item in self._inputs]
        self._whole = len(self._inputs) == 1 and shapes[0][1:] != [1]
        if self._whole:
            width = shapes[0][1] if len(shapes[0]) == 2 else None
            if not isinstance(width, int):
                raise CheckError("onnx_shape_unsupported", inputs=1)
            self.n_features_in_ = width
        else:
            if any(shape[1:] not in ([1], []) for shape in shapes):
                raise CheckError("onnx_shape_unsupported", inputs=len(shapes))
            self.n_features_in_ = len(self._inputs)
            self.feature_names_in_ = np.array([item.name for item in self._inputs], dtype=object)
        outputs = self._session.get_outputs()
        self._scores = next(
            (item.name for item in outputs if item.type.startswith("seq(map(")),
            next((item.name for item in outputs if _is_scores(item)), None),
        )
        self._value = outputs[0].name
        self.classes_: npt.NDArray[Any] | None = None
        if classifies:
            self._find_classes(outputs, classes)

    def _find_classes(self, outputs: Any, classes: tuple[str, ...]) -> None:
        if self._scores is None:
            raise CheckError("model_lacks_output", output="probability", method="probabilities")
        scores = next(item for item in outputs if item.name == self._scores)
        if classes:
            self.classes_ = np.array(classes, dtype=object)
            return
        width = scores.shape[1] if scores.type.startswith("tensor") and len(scores.shape) == 2 else None
        texts = any(item.type == "tensor(string)" for item in outputs)
        if texts or not isinstance(width, int):
            raise CheckError("classes_undeclared", format="onnx")
        self.classes_ = np.arange(width)

    def _feed(self, data: Any) -> dict[str, Any]:
        if self._whole:
            kind = NUMERIC.get(self._inputs[0].type)
            values = data.to_numpy() if isinstance(data, pd.DataFrame) else np.asarray(data)
            return {self._inputs[0].name: values.astype(kind if kind is not None else str)}
        feed = {}
        for place, item in enumerate(self._inputs):
            column = (
                data[item.name].to_numpy() if isinstance(data, pd.DataFrame) else np.asarray(data)[:, place]
            )
            kind = NUMERIC.get(item.type)
            values = column.astype(kind) if kind is not None else column.astype(str).astype(object)
            feed[item.name] = values.reshape(-1, 1) if len(item.shape) == 2 else values
        return feed

    def _run(self, output: str, data: Any) -> Any:
        rows = len(data)
        parts: list[Any] = []
        for start in range(0, rows, ROWS_AT_ONCE):
            part = (
                data.iloc[start : start + ROWS_AT_ONCE]
                if isinstance(data, pd.DataFrame)
                else data[start : start + ROWS_AT_ONCE]
            )
            (found,) = self._session.run([output], self._feed(part))
            parts.append(found)
        if parts and isinstance(parts[0], list):
            return [item for part in parts for item in part]
        return np.concatenate(parts)

    def predict_proba(self, data: Any) -> Floats:
        if self.classes_ is None or self._scores is None:
            raise CheckError("model_lacks_output", output="probability", method="predict_proba")
        found = self._run(self._scores, data)
        if isinstance(found, list):  # ZipMap: a dictionary for each row
            keys = {str(key): key for key in found[0]} if found else {}
            wanted = [str(label) for label in self.classes_]
            if set(keys) != set(wanted):
                raise CheckError("classes_declared_differ", declared=len(wanted), found=len(keys))
            found = np.array([[row[keys[name]] for name in wanted] for row in found])
        values = np.asarray(found, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.classes_):
            raise CheckError("classes_declared_differ", declared=len(self.classes_), found=values.shape[-1])
        return values

    def predict(self, data: Any) -> npt.NDArray[Any]:
        if self.classes_ is not None:
            return np.asarray(self.classes_[self.predict_proba(data).argmax(axis=1)])
        return np.asarray(self._run(self._value, data), dtype=np.float64)


def _is_scores(item: Any) -> bool:
    return item.type in ("tensor(float)", "tensor(double)") and len(item.shape) == 2
