"""A model seen through what its version declares: inputs by name, canonical labels, finite numbers or an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import Codes, canonical_classes, canonical_column, listed, recode
from audits.checks.loading import own_version
from audits.checks.semantics import Semantics

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
LARGEST = 1e150  # of a regression: the square of anything larger is no number any more


class Predictor:
    """Wraps an estimator. Every method takes a frame holding at least `features`, in any order.

    Raises CheckError: `column_missing`, `column_not_finite`, `model_cannot_predict`, `model_version_mismatch`,
    `prediction_not_finite`, `prediction_shape`, `model_classes_mismatch` and what `__init__` says.
    """

    def __init__(
        self,
        estimator: Any,
        semantics: Semantics,
        *,
        columns: Sequence[str] = (),
        other_version: str | None = None,
    ) -> None:
        """`columns` are the data's columns in file order: used only for a model fitted without column names."""
        self.estimator = estimator
        self.semantics = semantics
        self.other_version = other_version
        named = getattr(estimator, "feature_names_in_", None)
        self.named = named is not None
        self.features: tuple[str, ...] = (
            tuple(str(name) for name in named)
            if named is not None
            else _positional_features(estimator, semantics, columns)
        )
        self.classes: tuple[str, ...] = ()
        if semantics.task != "regression":
            declared = getattr(estimator, "classes_", None)
            if declared is None or np.ndim(declared) != 1:
                raise CheckError("model_has_no_classes", type=type(estimator).__name__)
            self.classes = canonical_classes(declared)
            self._check_classes()

    def _check_classes(self) -> None:
        names = listed(self.classes)
        if self.semantics.task == "binary" and len(self.classes) != 2:
            raise CheckError("model_not_binary", count=len(self.classes), classes=names)
        for field in ("positive_label", "favourable_label"):
            label = getattr(self.semantics, field)
            if label is not None and label not in self.classes:
                raise CheckError("model_classes_mismatch", field=field, label=label, classes=names)

    @property
    def positive(self) -> int:
        """Position of the positive label among the classes. Raises `semantics_missing` where none is declared."""
        label = self.semantics.positive_label or self.semantics.favourable_label
        if label is None:
            raise CheckError("semantics_missing", field="positive_label")
        return self.classes.index(label)

    def inputs(self, frame: pd.DataFrame) -> Any:
        """The model's inputs in its own order: a frame if it was fitted on names, else an array."""
        missing = [name for name in self.features if name not in frame.columns]
        if missing:
            raise CheckError("column_missing", columns=listed(missing), reader="model")
        selected = frame[list(self.features)]
        for name in self.features:
            column = selected[name]
            if pd.api.types.is_float_dtype(column.dtype) and bool(np.isinf(column.to_numpy(float)).any()):
                raise CheckError("column_not_finite", column=name)
        return selected if self.named else selected.to_numpy()

    def label_codes(self, frame: pd.DataFrame) -> Codes:
        """Decisions as positions in `classes`, shape (rows,): thresholded where a threshold applies."""
        output, threshold = self.semantics.output, self.semantics.threshold
        if self.semantics.task == "binary" and (output in ("probability", "score")):
            if output == "probability":
                values = self._needed_scores(frame)
                cut = 0.5 if threshold is None else threshold
            else:
                values = self._needed_margin(frame)
                cut = 0.0 if threshold is None else threshold
            return np.where(values >= cut, self.positive, 1 - self.positive).astype(np.int64)
        predicted = self._call("predict", frame)
        if predicted.ndim != 1:
            raise CheckError("prediction_shape", expected=f"({len(frame)},)", found=str(predicted.shape))
        codes, levels = canonical_column(predicted)
        if (codes < 0).any():
            raise CheckError("prediction_not_finite", rows=int((codes < 0).sum()))
        unknown = [name for name in levels if name not in self.classes]
        if unknown:
            raise CheckError("prediction_unknown_label", labels=listed(unknown), classes=listed(self.classes))
        return recode(codes, levels, self.classes)

    def labels(self, frame: pd.DataFrame) -> npt.NDArray[np.str_]:
        """Canonical labels decided, shape (rows,)."""
        return np.array(self.classes)[self.label_codes(frame)]

    def decisions(self, frame: pd.DataFrame) -> Booleans:
        """Whether each row is decided favourably, shape (rows,). Raises `semantics_missing` without the label."""
        favourable = self.semantics.favourable_label
        if favourable is None:
            raise CheckError("semantics_missing", field="favourable_label")
        return np.asarray(self.label_codes(frame) == self.classes.index(favourable))

    def probabilities(self, frame: pd.DataFrame) -> Floats | None:
        """P(class), shape (rows, classes), or None where the model has no predict_proba."""
        if not callable(getattr(self.estimator, "predict_proba", None)):
            return None
        found = self._numbers("predict_proba", frame)
        if found.shape != (len(frame), len(self.classes)):
            expected = f"({len(frame)}, {len(self.classes)})"
            raise CheckError("prediction_shape", expected=expected, found=str(found.shape))
        if (found < -1e-9).any() or (found > 1 + 1e-9).any():
            raise CheckError(
                "probability_out_of_range", rows=int(((found < 0) | (found > 1)).any(axis=1).sum())
            )
        return found

    def scores(self, frame: pd.DataFrame) -> Floats | None:
        """Probability of the positive label, shape (rows,), or None where the model gives none."""
        found = self.probabilities(frame)
        return None if found is None else found[:, self.positive]

    def margin(self, frame: pd.DataFrame) -> Floats | None:
        """decision_function towards the positive label, shape (rows,), or None where the model has none."""
        if not callable(getattr(self.estimator, "decision_function", None)):
            return None
        found = self._numbers("decision_function", frame)
        if found.ndim == 1:
            # one column always speaks for classes_[1]
            return found if self.positive == 1 else -found
        if found.shape != (len(frame), len(self.classes)):
            expected = f"({len(frame)}, {len(self.classes)})"
            raise CheckError("prediction_shape", expected=expected, found=str(found.shape))
        return found[:, self.positive]

    def ranking(self, frame: pd.DataFrame) -> Floats | None:
        """Anything that orders rows by how positive they are: the probability, else the margin, else None."""
        scores = self.scores(frame)
        return self.margin(frame) if scores is None else scores

    def values(self, frame: pd.DataFrame) -> Floats:
        """Predicted numbers of a regression, shape (rows,)."""
        found = self._numbers("predict", frame)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim != 1:
            raise CheckError("prediction_shape", expected=f"({len(frame)},)", found=str(found.shape))
        if (np.abs(found) > LARGEST).any():
            raise CheckError("prediction_too_large", rows=int((np.abs(found) > LARGEST).sum()))
        return found

    def _needed_scores(self, frame: pd.DataFrame) -> Floats:
        scores = self.scores(frame)
        if scores is None:
            raise CheckError("model_lacks_output", output="probability", method="predict_proba")
        return scores

    def _needed_margin(self, frame: pd.DataFrame) -> Floats:
        margin = self.margin(frame)
        if margin is None:
            raise CheckError("model_lacks_output", output="score", method="decision_function")
        return margin

    def _numbers(self, method: str, frame: pd.DataFrame) -> Floats:
        try:
            found = np.asarray(self._call(method, frame), dtype=np.float64)
        except (TypeError, ValueError):
            raise CheckError("prediction_not_numeric", method=method) from None
        finite = np.isfinite(found)
        if not finite.all():
            bad = ~finite if found.ndim == 1 else ~finite.all(axis=tuple(range(1, found.ndim)))
            raise CheckError("prediction_not_finite", rows=int(bad.sum()))
        return found

    def _call(self, method: str, frame: pd.DataFrame) -> npt.NDArray[Any]:
        data = self.inputs(frame)
        found = guarded(lambda: getattr(self.estimator, method)(data), self, frame, method)
        result = np.asarray(found)
        if result.ndim == 0 or result.shape[0] != len(frame):
            raise CheckError("prediction_shape", expected=f"({len(frame)}, …)", found=str(result.shape))
        return result


def guarded(call: Callable[[], Any], predictor: Predictor, frame: pd.DataFrame, method: str) -> Any:
    """Run somebody else's code; its exception text may quote data, so only its class is told."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return call()
    except (CheckError, MemoryError):
        raise
    except Exception as error:
        if predictor.other_version is not None:
            raise CheckError(
                "model_version_mismatch", written_with=predictor.other_version, read_with=own_version()
            ) from None
        holes = [name for name in predictor.features if bool(frame[name].isna().any())]
        problem = type(error).__name__
        if holes:
            raise CheckError(
                "model_rejects_missing", method=method, problem=problem, columns=listed(holes)
            ) from None
        texts = [name for name in predictor.features if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
        if texts:  # one bad cell turns a column of numbers into text
            raise CheckError(
                "model_rejects_text", method=method, problem=problem, columns=listed(texts)
            ) from None
        raise CheckError("model_cannot_predict", method=method, problem=problem) from None


def _positional_features(estimator: Any, semantics: Semantics, columns: Sequence[str]) -> tuple[str, ...]:
    """Inputs of a model fitted without names: the data's columns except target and entity key, if the count fits."""
    candidates = tuple(name for name in columns if name not in (semantics.target, semantics.entity_key))
    expected = getattr(estimator, "n_features_in_", None)
    if not candidates or (expected is not None and int(expected) != len(candidates)):
        raise CheckError(
            "model_features_unknown",
            expected=None if expected is None else int(expected),
            found=len(candidates),
        )
    return candidates
