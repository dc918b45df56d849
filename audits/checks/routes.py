"""Which way a model is explained: exact formulas where its family has one, else Shapley values of its output.

Each route names its output space and the function of the model it explains; the caller proves additivity against it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.boosters import native, squashed
from audits.checks.contract import CheckError
from audits.checks.predictor import Predictor, guarded
from audits.checks.shapley import EXACT_COLUMNS, Attribution, Output, evaluations, exact, permutation
from audits.checks.sources import dense, gather, source_columns

Floats = npt.NDArray[np.float64]

LINEAR = {
    "LogisticRegression", "LogisticRegressionCV", "LinearRegression", "Ridge", "RidgeCV", "RidgeClassifier",
    "RidgeClassifierCV", "Lasso", "LassoCV", "LassoLars", "ElasticNet", "ElasticNetCV", "SGDClassifier",
    "SGDRegressor", "LinearSVC", "LinearSVR", "Perceptron", "HuberRegressor", "BayesianRidge",
    "LinearDiscriminantAnalysis",
}  # fmt: skip
TREES = {
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor",
    "RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor",
}  # fmt: skip
BOOSTED = {"GradientBoostingClassifier", "GradientBoostingRegressor"}
HISTOGRAM = {"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}
TOLERANCE = 1e-4
# How much work a check may ask for; a limit on work and not on rows, since a row may cost a thousand times another.
TREE_BUDGET = 450_000_000  # explained × background × tree_work, about 20 s (benchmarks/explain.py)
OUTPUT_BUDGET = 4_000_000  # rows handed to the model
FEWEST_ROWS = 10
FEWEST_BACKGROUND = 10
SHARE_OF_LEAVES = 0.6  # leaves ** this: those two rows reach together in a tree
MOST_NODES = 2**15 - 1  # of a tree: the explainer numbers them in 16 bits, and reads astray beyond


@dataclass(frozen=True)
class Route:
    """How to explain: `explain(background, explained)` → phi over source columns; `output` is what they add up to."""

    name: str
    output_space: str
    output: Output
    explain: Callable[[pd.DataFrame, pd.DataFrame], Attribution | None]
    cost: float  # of one explained row against one background row
    budget: float
    estimand: str = "interventional"  # or "path-dependent": what absent columns are replaced by


def choose(predictor: Predictor, seed: int) -> list[Route]:
    """Routes in order of preference; the last always applies. A route that proves unfit is left for the next."""
    estimator = predictor.estimator
    model = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    routes = []
    family = type(model).__name__
    # by name and module: a class that only borrows a name may predict anything
    if type(model).__module__.startswith("sklearn."):
        if family in LINEAR and hasattr(model, "coef_"):
            routes.append(_linear(predictor, model))
        elif (family in TREES or (family in BOOSTED | HISTOGRAM and _one_margin(model))) and _nodes_fit(
            model
        ):
            boosted = family in BOOSTED | HISTOGRAM and family.endswith("Classifier")
            routes.append(_trees(predictor, model, margin=boosted))
    own = native(model)
    if own is not None:
        routes.append(_native(predictor, model, *own))
    routes.append(_any_model(predictor, seed))
    return routes


def _one_margin(model: Any) -> bool:
    """One margin to explain, over numbers only: the tree explainer misreads splits on categories without noticing."""
    categorical = getattr(model, "is_categorical_", None)
    if categorical is not None and np.any(categorical):
        return False
    return len(getattr(model, "classes_", (0, 1))) == 2


def tree_work(model: Any) -> float:
    """What interventional TreeSHAP does for one explained row against one background row: outputs × Σ leaves^0.6.

    Both rows walk down together and, where they part, along both branches. If they part at every other node, a tree of
    L leaves has L^0.585 of them visited; depth by itself costs nothing, and the L × depth² of the path-dependent
    algorithm is not what this one does. Measured (benchmarks/explain.py): the time per unit of this estimate differs
    by 3 to 4 between ensembles, per trees × depth² by 50, per leaves × depth² by 500.
    """
    leaves, outputs = _leaves(model)
    return float(outputs * np.sum(leaves**SHARE_OF_LEAVES))


def _leaves(model: Any) -> tuple[Floats, int]:
    """Leaves of each tree, and for how many outputs they are walked."""
    if type(model).__name__ in HISTOGRAM:
        found = [tree.get_n_leaf_nodes() for iteration in model._predictors for tree in iteration]
        return np.array(found, dtype=np.float64), 1
    members = np.ravel(np.asarray(getattr(model, "estimators_", [model]), dtype=object))
    found = [int(tree.get_n_leaves()) for tree in members]
    return np.array(found, dtype=np.float64), int(members[0].tree_.value.shape[2])


def _nodes_fit(model: Any) -> bool:
    """Whether every tree is small enough for the explainer's numbers of nodes."""
    return 2 * int(_leaves(model)[0].max(initial=1)) - 1 <= MOST_NODES


def rows_within(route: Route, rows: int, background: int) -> tuple[int, int]:
    """How many rows the budget allows; the background shrinks only when the fewest rows would not fit."""
    affordable = int(route.budget // (route.cost * background))
    if affordable >= min(rows, FEWEST_ROWS):
        return min(rows, affordable), background
    rows = min(rows, FEWEST_ROWS)
    background = max(FEWEST_BACKGROUND, int(route.budget // (route.cost * rows)))
    return rows, background


def _margin_output(predictor: Predictor) -> Output:
    def output(frame: pd.DataFrame) -> Floats:
        if predictor.semantics.task == "regression":
            return predictor.values(frame)
        margin = predictor.margin(frame)
        if margin is None:
            raise CheckError("model_lacks_output", output="margin", method="decision_function")
        return margin

    return output


def _natural_output(predictor: Predictor) -> tuple[str, Output]:
    """What anything can be explained in: the value, the probability of positive, else the decision itself."""
    if predictor.semantics.task == "regression":
        return "value", predictor.values
    if callable(getattr(predictor.estimator, "predict_proba", None)):

        def probability(frame: pd.DataFrame) -> Floats:
            scores = predictor.scores(frame)
            assert scores is not None  # noqa: S101 (it has predict_proba)
            return scores

        return "probability", probability
    if predictor.semantics.output == "score":
        return "margin", _margin_output(predictor)
    return "decision", lambda frame: (predictor.label_codes(frame) == predictor.positive).astype(np.float64)


def _through_pipeline(
    predictor: Predictor, background: pd.DataFrame, explained: pd.DataFrame
) -> tuple[Floats, Floats, npt.NDArray[np.int64]] | None:
    """Both sets as the final estimator sees them, with the source of each column; None if not attributable."""
    columns = list(predictor.features)
    sample = pd.concat([background[columns], explained[columns]], ignore_index=True)
    estimator = predictor.estimator
    if not hasattr(estimator, "steps") or len(estimator.steps) < 2:
        values = dense(sample)
        sources = np.arange(len(columns), dtype=np.int64)
    else:
        steps = estimator[:-1]

        def transform(frame: pd.DataFrame) -> Any:
            data = predictor.inputs(frame)
            return guarded(lambda: steps.transform(data), predictor, frame, "transform")

        found = source_columns(transform, sample)
        values = None if found is None else dense(transform(sample))
        if found is None:
            return None
        sources = found
    if values is None:
        return None
    return values[: len(background)], values[len(background) :], sources


def _linear(predictor: Predictor, model: Any) -> Route:
    """phi = coefficient × (x - background mean): exact for independent columns, in the margin's own unit."""

    def explain(background: pd.DataFrame, explained: pd.DataFrame) -> Attribution | None:
        seen = _through_pipeline(predictor, background, explained)
        if seen is None:
            return None
        behind, rows, sources = seen
        coefficients = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
        intercepts = np.ravel(np.asarray(model.intercept_, dtype=np.float64))
        sign, place = 1.0, 0
        if predictor.classes:
            if len(coefficients) > 1:
                place = predictor.positive
            elif predictor.positive == 0:
                sign = -1.0
        if len(intercepts) == 1:
            intercepts = np.repeat(intercepts, len(coefficients))
        mean = behind.mean(axis=0)
        phi = sign * coefficients[place] * (rows - mean)
        base = sign * float(coefficients[place] @ mean + intercepts[place])
        return Attribution(gather(phi, sources, len(predictor.features)), base)

    space = "value" if predictor.semantics.task == "regression" else "margin"
    return Route("linear", space, _margin_output(predictor), explain, 1.0, 1e12)


def _trees(predictor: Predictor, model: Any, *, margin: bool) -> Route:
    """Interventional TreeSHAP (Lundberg et al. 2020) on the final estimator, one-hot columns summed to their source."""
    boosted = type(model).__name__ in HISTOGRAM

    def explain(background: pd.DataFrame, explained: pd.DataFrame) -> Attribution | None:
        seen = _through_pipeline(predictor, background, explained)
        if seen is None or not (np.isfinite(seen[0]).all() and np.isfinite(seen[1]).all()):
            return None  # the explainer does not follow missing values the way scikit-learn does
        behind, rows, sources = seen
        if not boosted:  # these trees compare single-precision inputs, histograms double ones
            behind, rows = (part.astype(np.float32).astype(np.float64) for part in (behind, rows))
        import shap  # 1-7 s to import: only where it is used

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # a masker, since a plain array would be cut to 100 rows without a word
            masker = shap.maskers.Independent(behind, max_samples=len(behind))
            explainer = shap.TreeExplainer(
                model, data=masker, feature_perturbation="interventional", model_output="raw"
            )
            base = np.ravel(np.asarray(explainer.expected_value, dtype=np.float64))
            explainer.data, rows = _number_the_thresholds(explainer.model, behind, rows)
            phi = np.asarray(explainer.shap_values(rows, check_additivity=False), dtype=np.float64)
        if phi.ndim == 3:
            phi, value = phi[:, :, predictor.positive], float(base[predictor.positive])
        else:
            sign = -1.0 if margin and predictor.positive == 0 else 1.0
            phi, value = sign * phi, sign * float(base[0])
        return Attribution(gather(phi, sources, len(predictor.features)), value)

    if margin:
        space, output = "margin", _margin_output(predictor)
    else:
        space, output = _natural_output(predictor)
    return Route("tree", space, output, explain, tree_work(model), TREE_BUDGET)


def _native(predictor: Predictor, model: Any, margins: Any, contributions: Any) -> Route:
    """The attributions XGBoost and LightGBM compute themselves (path-dependent TreeSHAP), in the margin.

    Exact for categories and missing values too: the library follows its own splits.
    """
    place = predictor.positive if len(predictor.classes) > 2 else 0
    sign = -1.0 if len(predictor.classes) == 2 and predictor.positive == 0 else 1.0
    alone = model is predictor.estimator

    def seen(frame: pd.DataFrame) -> Any:
        data = predictor.inputs(frame)
        if alone:
            return data if hasattr(model, "margins") else np.asarray(data, dtype=np.float64)
        # as the transformer left it: XGBoost takes the zeros of a sparse table for missing values, and those of a
        # dense one not
        steps = predictor.estimator[:-1]
        return guarded(lambda: steps.transform(data), predictor, frame, "transform")

    def margin(frame: pd.DataFrame) -> Floats:
        found = guarded(lambda: margins(seen(frame)), predictor, frame, "margin")
        return sign * np.asarray(found, dtype=np.float64)[:, place]

    def explain(background: pd.DataFrame, explained: pd.DataFrame) -> Attribution | None:
        width = len(predictor.features)
        if alone:
            sources = np.arange(width, dtype=np.int64)
        else:
            through = _through_pipeline(predictor, background, explained)
            if through is None:
                return None
            sources = through[2]
        table = seen(explained)
        if predictor.classes and not _speaks_for(predictor, explained, np.asarray(margins(table))):
            return None
        found = np.asarray(contributions(table), dtype=np.float64)[:, place, :]
        if found.shape[1] != len(sources) + 1:
            return None
        base = sign * found[:, -1]
        astray = np.abs(found[:, :-1][:, sources < 0]).max() if (sources < 0).any() else 0.0
        if astray > 1e-9:
            return None  # a column that never varies here has a share, and no source to give it to
        return Attribution(gather(sign * found[:, :-1], sources, width), float(base[0]))

    if (
        predictor.semantics.task == "regression"
    ):  # with a log link it does not add up to the value: then the next route
        return Route("native", "value", predictor.values, explain, 1.0, 1e12, "path-dependent")
    return Route("native", "margin", margin, explain, 1.0, 1e12, "path-dependent")


def _speaks_for(predictor: Predictor, frame: pd.DataFrame, margins: Floats) -> bool:
    """Whether these margins are those behind the model's own probabilities (logistic, or softmax of several)."""
    own = predictor.probabilities(frame)
    if own is None:
        return False
    found = squashed(margins)
    if found.ndim == 1:
        found = np.column_stack([1 - found, found])
    return found.shape == own.shape and bool(np.abs(found - own).max() <= TOLERANCE)


def _number_the_thresholds(ensemble: Any, *tables: Floats) -> list[Floats]:
    """Replace each value by how many of its feature's thresholds lie below it, and each threshold by its number.

    `x <= threshold` keeps its truth for every row and node. It must: the explainer's inner loop rounds thresholds to
    single precision, so a value right at one (27.2 beside 27.1999998) goes down the other branch than in the model,
    and attributions miss the model's output by tenths. Small whole numbers survive the rounding.
    """
    features = np.asarray(ensemble.features)
    thresholds = np.asarray(ensemble.thresholds, dtype=np.float64)
    inner = np.asarray(ensemble.children_left) >= 0
    numbered = np.zeros_like(thresholds)
    coded = [np.zeros_like(table) for table in tables]
    for feature in range(tables[0].shape[1]):
        nodes = inner & (features == feature)
        distinct, number = np.unique(thresholds[nodes], return_inverse=True)
        numbered[nodes] = number
        for table, codes in zip(tables, coded, strict=True):
            codes[:, feature] = np.searchsorted(distinct, table[:, feature], side="left")
    ensemble.thresholds = numbered
    return coded


def _any_model(predictor: Predictor, seed: int) -> Route:
    """The model as a black box over its raw input columns: all coalitions, or sampled permutations beyond ten."""
    space, output = _natural_output(predictor)
    columns = list(predictor.features)

    def explain(background: pd.DataFrame, explained: pd.DataFrame) -> Attribution:
        if len(columns) <= EXACT_COLUMNS:
            return exact(output, background[columns], explained[columns])
        return permutation(output, background[columns], explained[columns], seed=seed)

    name = "exact" if len(columns) <= EXACT_COLUMNS else "permutation"
    return Route(name, space, output, explain, float(evaluations(len(columns))), OUTPUT_BUDGET)
