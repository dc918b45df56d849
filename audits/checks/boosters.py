"""XGBoost JSON/UBJ and LightGBM text files, with the manners of a scikit-learn estimator. Confined child only.

The files hold trees and names but no code, and no class labels: labels are the declared classes, else 0..k-1.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import listed

Floats = npt.NDArray[np.float64]
_LINE = re.compile(
    r"^(objective|num_class|feature_names|feature_infos|pandas_categorical)[=:](.*)$", re.MULTILINE
)


class Booster:
    """What both libraries share. `margins` and `contributions` are per output; one output for binary and regression."""

    feature_names_in_: npt.NDArray[np.object_]

    def __init__(self, names: list[str] | None, width: int, outputs: int, task: str) -> None:
        """`task` is binary, multi-class or regression, as the file's own objective says."""
        self.n_features_in_ = width
        self.outputs = outputs
        self.task = task
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        self.classes_: npt.NDArray[Any] | None = None
        if task != "regression":
            self.classes_ = np.arange(max(outputs, 2))

    def name_classes(self, classes: tuple[str, ...]) -> None:
        """Labels in the order of the model's outputs. Raises CheckError `classes_declared_differ`."""
        if self.classes_ is None:
            return
        if len(classes) != len(self.classes_):
            raise CheckError("classes_declared_differ", declared=len(classes), found=len(self.classes_))
        self.classes_ = np.array(classes, dtype=object)

    def margins(self, data: Any) -> Floats:
        """Raw sums of the trees, shape (rows, outputs)."""
        raise NotImplementedError

    def contributions(self, data: Any) -> Floats:
        """The library's own attributions of the margins, shape (rows, outputs, features + 1), base value last."""
        raise NotImplementedError

    def values(self, data: Any) -> Floats:
        """What the objective makes of the margins, shape (rows,) or (rows, outputs)."""
        raise NotImplementedError

    def decision_function(self, data: Any) -> Floats:
        found = self.margins(data)
        return found[:, 0] if self.outputs == 1 else found

    def predict(self, data: Any) -> npt.NDArray[Any]:
        if self.classes_ is None:
            return self.values(data)
        if self.outputs == 1:
            return np.asarray(self.classes_[(self.margins(data)[:, 0] > 0).astype(int)])
        return np.asarray(self.classes_[self.margins(data).argmax(axis=1)])

    def predict_proba(self, data: Any) -> Floats:
        if self.classes_ is None:
            raise CheckError("model_lacks_output", output="probability", method="predict_proba")
        found = self.values(data)
        if found.ndim == 1:
            found = np.column_stack([1 - found, found])
        shares: Floats = found / found.sum(
            axis=1, keepdims=True
        )  # single precision does not quite add up to 1
        return shares


class XGBoost(Booster):
    def __init__(self, content: bytes) -> None:
        import xgboost

        if not content.lstrip()[:1] == b"{":
            raise CheckError("model_unreadable", format="xgboost", problem="NotJsonOrUbj")
        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        learner = json.loads(booster.save_config())["learner"]
        objective = str(learner["objective"]["name"])
        outputs = max(1, int(learner["learner_model_param"]["num_class"]))
        if int(learner["learner_model_param"].get("num_target", 1)) > 1:
            raise CheckError("model_objective_unsupported", objective="multi-target")
        task = _xgboost_task(objective)
        names = None if booster.feature_names is None else [str(name) for name in booster.feature_names]
        super().__init__(names, booster.num_features(), outputs, task)
        self._booster = booster
        self._types: list[str] = list(booster.feature_types or [])
        best = booster.attr("best_iteration")  # stopped early: what the library's own estimators use
        self._rounds = (0, int(best) + 1) if best is not None else (0, 0)
        self._squashed = objective in ("binary:logistic", "reg:logistic", "multi:softprob")

    def _matrix(self, data: Any) -> Any:
        import xgboost

        if not isinstance(data, pd.DataFrame):
            return xgboost.DMatrix(np.asarray(data, dtype=np.float64), nthread=1)
        frame = data.copy(deep=False)
        for name, kind in zip(frame.columns, self._types, strict=False):
            if kind == "c" and not pd.api.types.is_numeric_dtype(frame[name].dtype):
                frame[name] = frame[name].astype("category")
        given = self._types if self._types and all(_is_number(frame[name]) for name in frame) else None
        return xgboost.DMatrix(frame, enable_categorical=True, feature_types=given, nthread=1)

    def margins(self, data: Any) -> Floats:
        found = self._booster.predict(self._matrix(data), output_margin=True, iteration_range=self._rounds)
        return np.asarray(found, dtype=np.float64).reshape(-1, self.outputs)

    def contributions(self, data: Any) -> Floats:
        found = self._booster.predict(self._matrix(data), pred_contribs=True, iteration_range=self._rounds)
        return np.asarray(found, dtype=np.float64).reshape(-1, self.outputs, self.n_features_in_ + 1)

    def values(self, data: Any) -> Floats:
        if self.task != "regression" and not self._squashed:
            return squashed(self.margins(data))
        found = self._booster.predict(self._matrix(data), iteration_range=self._rounds)
        return np.asarray(found, dtype=np.float64)


class LightGBM(Booster):
    def __init__(self, content: bytes) -> None:
        import lightgbm

        if not content.startswith(b"tree\n"):
            raise CheckError("model_unreadable", format="lightgbm", problem="NotLightGBMText")
        text = content.decode("utf-8")
        head = {found[1]: found[2].strip() for found in _LINE.finditer(text)}
        self._booster = lightgbm.Booster(model_str=text, params={"verbosity": -1, "num_threads": 1})
        names = [str(name) for name in self._booster.feature_name()]
        unnamed = names == [f"Column_{place}" for place in range(len(names))]
        objective = head.get("objective", "").split(" ")[0]
        task = _lightgbm_task(objective)
        outputs = int(self._booster.num_model_per_iteration())
        super().__init__(None if unnamed else names, len(names), outputs, task)
        levels = json.loads(head.get("pandas_categorical") or "null") or []
        # a list of codes instead of a range: the library wrote the column as categorical
        infos = head.get("feature_infos", "").split(" ")
        texts = [place for place, info in enumerate(infos) if info not in ("", "none") and info[0] != "["]
        if levels and len(texts) != len(levels):
            raise CheckError("model_categories_unknown", columns=listed(names[place] for place in texts))
        self._levels = {names[place]: known for place, known in zip(texts, levels, strict=False)}

    def _data(self, data: Any) -> Any:
        if not isinstance(data, pd.DataFrame):
            return np.asarray(data, dtype=np.float64)
        columns = []
        for name in data.columns:
            column = data[name]
            if name in self._levels:
                codes = pd.Categorical(column, categories=self._levels[name]).codes.astype(np.float64)
                columns.append(np.where(codes < 0, np.nan, codes))  # unseen is missing, as the library has it
            else:
                columns.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.column_stack(columns)

    def _predict(self, data: Any, **how: Any) -> Floats:
        return np.asarray(self._booster.predict(self._data(data), num_threads=1, **how), dtype=np.float64)

    def margins(self, data: Any) -> Floats:
        return self._predict(data, raw_score=True).reshape(-1, self.outputs)

    def contributions(self, data: Any) -> Floats:
        return self._predict(data, pred_contrib=True).reshape(-1, self.outputs, self.n_features_in_ + 1)

    def values(self, data: Any) -> Floats:
        return self._predict(data)


def squashed(margins: Floats) -> Floats:
    """Probabilities of margins (rows, outputs): logistic for one output, softmax for several."""
    if margins.shape[1] == 1:
        chance: Floats = 1 / (1 + np.exp(-np.clip(margins[:, 0], -700, 700)))
        return chance
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column.dtype))


def _xgboost_task(objective: str) -> str:
    kind, _, name = objective.partition(":")
    if kind == "multi":
        return "multi-class"
    if kind == "binary" and name != "hinge":
        return "binary"
    if kind == "reg" or objective in ("count:poisson",):
        return "regression"
    raise CheckError("model_objective_unsupported", objective=objective[:60])


def _lightgbm_task(objective: str) -> str:
    if objective in ("multiclass", "multiclassova"):
        return "multi-class"
    if objective in ("binary", "cross_entropy"):
        return "binary"
    # one loss is named by a word that this project uses of nothing else than of people
    if objective.startswith("regression") or objective in (
        "huber", "f" "air", "poisson", "quantile", "mape", "gamma", "tweedie",
    ):  # fmt: skip
        return "regression"
    raise CheckError("model_objective_unsupported", objective=objective[:60] or "none")


def _table(data: Any) -> Any:
    """An array, or the sparse matrix it came as."""
    return data.tocsr() if hasattr(data, "tocsr") else np.asarray(data, dtype=np.float64)


def native(model: Any) -> tuple[Any, Any] | None:
    """(margins, contributions) as functions of a plain array, for a fitted estimator of either library; else None.

    Shapes as in `Booster`; the estimator is the last step of a scikit-learn pipeline, or stands alone.
    """
    if isinstance(model, Booster):
        return model.margins, model.contributions
    module = type(model).__module__
    if module.startswith("xgboost."):
        import xgboost

        booster = model.get_booster()
        types = booster.feature_types
        if types and "c" in types:
            return None  # categories came as a frame; an array would lose their names
        best = booster.attr("best_iteration")
        rounds = (0, int(best) + 1) if best is not None else (0, 0)
        outputs = max(1, int(getattr(model, "n_classes_", 1)) if getattr(model, "n_classes_", 2) > 2 else 1)

        def matrix(data: Any) -> Any:
            return xgboost.DMatrix(
                _table(data), feature_names=booster.feature_names, nthread=1,
                missing=float(model.missing) if model.missing is not None else np.nan,
            )  # fmt: skip

        def margins(data: Any) -> Floats:
            found = booster.predict(matrix(data), output_margin=True, iteration_range=rounds)
            return np.asarray(found, dtype=np.float64).reshape(data.shape[0], outputs)

        def contributions(data: Any) -> Floats:
            found = booster.predict(matrix(data), pred_contribs=True, iteration_range=rounds)
            return np.asarray(found, dtype=np.float64).reshape(data.shape[0], outputs, -1)

        return margins, contributions
    if module.startswith("lightgbm."):
        lgb = model.booster_
        count = int(lgb.num_model_per_iteration())

        def lgb_margins(data: Any) -> Floats:
            found = lgb.predict(_table(data), raw_score=True, num_threads=1)
            return np.asarray(found, dtype=np.float64).reshape(data.shape[0], count)

        def lgb_contributions(data: Any) -> Floats:
            found = lgb.predict(_table(data), pred_contrib=True, num_threads=1)
            found = found.toarray() if hasattr(found, "toarray") else found  # sparse in, sparse out
            return np.asarray(found, dtype=np.float64).reshape(data.shape[0], count, -1)

        return lgb_margins, lgb_contributions
    return None
