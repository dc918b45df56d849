"""Explainability: Shapley attributions proved to add up to the model's own output, overall and per sensitive group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.groups import sensitive_groupings
from audits.checks.intervals import Interval, generator, percentile_interval
from audits.checks.materials import Materials
from audits.checks.predictor import Predictor
from audits.checks.proxies import cramers_v
from audits.checks.routes import TOLERANCE, Route, choose, rows_within
from audits.checks.shapley import Attribution

Floats = npt.NDArray[np.float64]
MAX_ROWS = 500
BACKGROUND_ROWS = 100
PROXY_ASSOCIATION = 0.3
LEVEL = 0.95
REPLICATES = 1_000
ESTIMANDS_BACKGROUND = ("interventional",)  # those that replace absent columns by rows of the background
POINT_FEATURES = 15
POINTS = 150


@dataclass(frozen=True)
class Explanation:
    """What a route found. phi (rows, features) and base add up to the model's output within `error` (relative)."""

    route: Route
    found: Attribution
    background: pd.DataFrame
    explained: pd.DataFrame
    error: float
    notes: tuple[Message, ...]


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Attribution on the evaluation data against a background of training rows.

    parameters: max_rows explained (default 500, fewer where the model is costly: noted), background_rows (100),
    proxy_association (0.3: Cramér's V from which an input counts as a proxy of a sensitive column).
    Shares are of the sum over features of mean |phi|. Raises CheckError `not_additive`.
    """
    predictor = materials.model()
    explanation = explain(
        predictor,
        materials.frame("training"),
        materials.frame("evaluation"),
        seed=inputs.seed,
        max_rows=int(inputs.parameters.get("max_rows", MAX_ROWS)),
        background_rows=int(inputs.parameters.get("background_rows", BACKGROUND_ROWS)),
    )
    phi = explanation.found.phi
    features = predictor.features
    sensitive = [name for name in materials.semantics.sensitive_columns if name in features]
    groupings = sensitive_groupings(materials, "evaluation", materials.semantics.sensitive_columns)
    least = float(inputs.parameters.get("proxy_association", PROXY_ASSOCIATION))
    proxies = proxies_of(materials, features, groupings, least)
    tables = (
        _importance(explanation, features, inputs.seed),
        _proxies(proxies, phi, features, least),
        _by_group(explanation, features, groupings),
        _points(explanation, features),
    )
    metrics = (
        _share(
            "sensitive_attribution_share",
            phi,
            _columns(features, sensitive),
            inputs.seed,
        ),
        *(
            _share(
                "sensitive_attribution_share",
                phi,
                _column(features.index(name)),
                inputs.seed,
                attribute=name,
            )
            for name in sensitive
        ),
        *(
            _share(
                "proxy_attribution_share", phi, _columns(features, names), inputs.seed, attribute=attribute
            )
            for attribute, names in (
                (None, sorted({name for found in proxies.values() for name in found})),
                *((attribute, list(found)) for attribute, found in proxies.items()),
            )
        ),
        _share("top_feature_share", phi, lambda means: means.max(axis=-1), inputs.seed),
        Metric("additivity_error", explanation.error, n=len(phi), denominators={"rows": len(phi)}),
    )
    absent = tuple(
        Message("not_a_model_input", {"column": name})
        for name in materials.semantics.sensitive_columns
        if name not in features
    )
    return CheckResult("completed", metrics, tables, explanation.notes + absent)


def explain(
    predictor: Predictor,
    training: pd.DataFrame,
    evaluation: pd.DataFrame,
    *,
    seed: int,
    max_rows: int,
    background_rows: int,
) -> Explanation:
    """Explain a sample of `evaluation` by the first route that applies and adds up; raises `not_additive` if none."""
    predictor.inputs(training)
    predictor.inputs(evaluation)
    notes: list[Message] = []
    worst = 0.0
    for route in choose(predictor, seed):
        rows, behind = rows_within(route, min(max_rows, len(evaluation)), min(background_rows, len(training)))
        background = _sample(training, behind, seed, "background")
        explained = _sample(evaluation, rows, seed, "explained")
        try:
            found = route.explain(background, explained)
        except (CheckError, MemoryError):
            raise
        except Exception as failure:
            # an explainer that does not know this model; the last route knows every model
            notes.append(Message("route_failed", {"route": route.name, "problem": type(failure).__name__}))
            continue
        if found is None:
            notes.append(Message("route_not_attributable", {"route": route.name}))
            continue
        error = additivity_error(found, route.output(explained))
        if error > TOLERANCE:
            notes.append(Message("route_not_additive", {"route": route.name, "error": error}))
            worst = max(worst, error)
            continue
        asked = min(max_rows, len(evaluation))
        if rows < asked:
            notes.append(Message("rows_reduced", {"route": route.name, "rows": rows, "asked": asked}))
        beside = min(background_rows, len(training))
        if behind < beside:
            params = {"route": route.name, "rows": behind, "asked": beside}
            notes.append(Message("background_reduced", params))
        if found.error_bound is not None:
            params = {"route": route.name, "error": found.error_bound}
            notes.append(Message("sampled_attribution", params))
        return Explanation(route, found, background, explained, error, tuple(notes))
    raise CheckError("not_additive", error=worst, tolerance=TOLERANCE)


def additivity_error(found: Attribution, output: Floats) -> float:
    """Largest |Σφ + base - f(x)| / max(1, |f(x)|) over the rows."""
    gaps = np.abs(found.phi.sum(axis=1) + found.base - output) / np.maximum(1.0, np.abs(output))
    worst = float(gaps.max())
    return worst if np.isfinite(worst) else 1e308  # a NaN attribution adds up to nothing


def _sample(frame: pd.DataFrame, rows: int, seed: int, purpose: str) -> pd.DataFrame:
    if rows >= len(frame):
        return frame.reset_index(drop=True)
    chosen = np.sort(generator(seed, purpose).permutation(len(frame))[:rows])
    return frame.iloc[chosen]


def digest(frame: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """sha256 of the rows as CSV with shortest exact numbers: the same rows, the same digest, on any machine."""
    text = frame[list(columns)].to_csv(index=False, lineterminator="\n")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def proxies_of(
    materials: Materials, features: tuple[str, ...], groupings: dict[str, Any], least: float
) -> dict[str, dict[str, float]]:
    """{sensitive column: {input: its association}} of inputs that are not sensitive themselves (Cramér's V, Bergsma
    2013, over all evaluation rows)."""
    frame = materials.frame("evaluation")
    found: dict[str, dict[str, float]] = {}
    for attribute, (codes, _) in groupings.items():
        found[attribute] = {}
        for name in features:
            value = None if name in groupings else cramers_v(frame[name], codes)[0]
            if value is not None and value >= least:
                found[attribute][name] = value
    return found


def _proxies(
    proxies: dict[str, dict[str, float]], phi: Floats, features: tuple[str, ...], least: float
) -> Table:
    means = np.abs(phi).mean(axis=0)
    total = float(means.sum())
    rows = [
        (attribute, name, value, float(means[features.index(name)]) / total if total else None)
        for attribute, found in proxies.items()
        for name, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]
    columns = ("attribute", "feature", "association", "share")
    return Table("shap_proxies", columns, tuple(rows), {"proxy_association": least})


def _columns(features: tuple[str, ...], names: Sequence[str]) -> Callable[[Floats], Any]:
    places = [features.index(name) for name in names]
    return lambda means: means[..., places].sum(axis=-1)


def _column(place: int) -> Callable[[Floats], Any]:
    return lambda means: means[..., place]


def _share(
    name: str,
    phi: Floats,
    part: Callable[[Floats], Any],
    seed: int,
    attribute: str | None = None,
) -> Metric:
    """A share of total attribution with its bootstrap interval over the explained rows."""
    magnitude = np.abs(phi)
    means = magnitude.mean(axis=0)
    rows = len(phi)
    total = float(means.sum())
    if total == 0:
        undefined = Message("model_ignores_inputs")
        return Metric(name, None, attribute=attribute, n=rows, undefined=undefined)
    interval: Interval | None = None
    if rows > 1:
        drawn = generator(seed, "share").multinomial(rows, np.full(rows, 1 / rows), size=REPLICATES)
        resampled = drawn @ magnitude / rows
        totals = resampled.sum(axis=1)
        shares = np.full(REPLICATES, np.nan)
        np.divide(part(resampled), totals, out=shares, where=totals > 0)
        interval = percentile_interval(shares, LEVEL)
    return Metric(
        name,
        float(part(means)) / total,
        attribute=attribute,
        interval=interval,
        level=None if interval is None else LEVEL,
        n=rows,
        denominators={"rows": rows, "features": phi.shape[1]},
    )


def _importance(explanation: Explanation, features: tuple[str, ...], seed: int) -> Table:
    phi = explanation.found.phi
    means = np.abs(phi).mean(axis=0)
    total = float(means.sum())
    rows = [
        (
            name,
            float(means[place]),
            float(phi[:, place].mean()),
            float(means[place]) / total if total else None,
        )
        for place, name in enumerate(features)
    ]
    rows.sort(key=lambda row: (-row[1], row[0]))
    params = {
        "route": explanation.route.name,
        "output_space": explanation.route.output_space,
        "base_value": explanation.found.base,
        "rows": len(phi),
        "background_rows": len(explanation.background),
        "background_digest": digest(explanation.background, features),
        "estimand": explanation.route.estimand,
        "seed": seed,
    }
    return Table("shap_importance", ("feature", "mean_abs", "mean_signed", "share"), tuple(rows), params)


def _by_group(explanation: Explanation, features: tuple[str, ...], groupings: dict[str, Any]) -> Table:
    magnitude = np.abs(explanation.found.phi)
    # evaluation frames come with a plain 0..n-1 index, which sampling keeps
    chosen = explanation.explained.index.to_numpy()
    rows: list[tuple[Any, ...]] = []
    for attribute, (codes, levels) in groupings.items():
        for code, group in enumerate(levels):
            inside = codes[chosen] == code
            if not inside.any():
                continue
            means = magnitude[inside].mean(axis=0)
            rows += [(attribute, group, name, float(means[place])) for place, name in enumerate(features)]
    return Table("shap_by_group", ("attribute", "group", "feature", "mean_abs"), tuple(rows))


def _points(explanation: Explanation, features: tuple[str, ...]) -> Table:
    """A beeswarm's dots: the rank of the value within the explained rows, never the value itself."""
    phi = explanation.found.phi
    top = sorted(
        range(len(features)), key=lambda place: (-float(np.abs(phi[:, place]).mean()), features[place])
    )
    shown = np.unique(np.linspace(0, len(phi) - 1, min(POINTS, len(phi))).round().astype(int))
    rows: list[tuple[Any, ...]] = []
    for place in top[:POINT_FEATURES]:
        ranks = value_ranks(explanation.explained[features[place]])
        rows += [(features[place], ranks[row], float(phi[row, place])) for row in shown]
    return Table("shap_points", ("feature", "value_rank", "phi"), tuple(rows))


def value_ranks(column: pd.Series) -> list[float | None]:
    """Ranks scaled to 0..1, ties sharing their mean; None for text, missing values and constant columns."""
    if not pd.api.types.is_numeric_dtype(column.dtype) or column.nunique() < 2:
        return [None] * len(column)
    ranks = column.astype(float).rank(method="average")
    low, high = ranks.min(), ranks.max()
    return [None if np.isnan(rank) else float((rank - low) / (high - low)) for rank in ranks]
