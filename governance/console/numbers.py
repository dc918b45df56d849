"""The numbers behind every figure, as tables: which columns are shown, under which heading, and how.

A figure is for who looks, a table for who reads, compares or cannot see. What is drawn row by row (the points of a
swarm) is summed up: its rows are people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.plots.beeswarm import Swarm, swarms_of
from audits.plots.dependence import fifths
from audits.plots.reader import places_for
from audits.plots.svg import finite
from governance.console.tables import Cell, TableView, number_cell, rate_cell, table_of, text_cell
from governance.console.wording import DATA_ROLES, USES, Words, reader, word

Row = dict[str, Any]
DISTURBANCES: Words = {"noise": _("noise"), "shift": _("shift"), "missing": _("missing values")}
PERSONAL: Words = {
    "person_name": _("name of a person"),
    "email": _("e-mail address"),
    "phone": _("telephone number"),
    "national_id": _("identity document"),
    "tax_id": _("tax number"),
    "bank_account": _("bank account"),
    "payment_card": _("payment card"),
    "network_address": _("network address"),
    "street_address": _("street address"),
    "postcode": _("postcode"),
    "birth_date": _("date of birth"),
    "age": _("age"),
    "sex": _("sex"),
    "location": _("location"),
    "occupation": _("occupation"),
    "marital_status": _("marital status"),
    "education": _("education"),
    "nationality": _("nationality"),
    "race": _("race or ethnic origin"),
    "religion": _("religion"),
    "health": _("health"),
    "political_opinion": _("political opinion"),
    "sexual_life": _("sexual life"),
    "union_membership": _("trade union membership"),
    "biometric": _("biometric data"),
}
PERSONAL_KINDS: Words = {
    "direct": _("identifies a person"),
    "quasi": _("identifies together with others"),
    "special": _("special category"),
}
PERSONAL_BY: Words = {"name": _("its name"), "values": _("its values"), "both": _("name and values")}


@dataclass(frozen=True)
class Column:
    head: str | Promise
    cell: Callable[[Row], Cell]
    is_number: bool = True


def name(of: str, head: str | Promise, absent: str | Promise | None = None) -> Column:
    def cell(row: Row) -> Cell:
        value = row.get(of)
        return Cell(str(absent)) if value is None and absent is not None else text_cell(value)

    return Column(head, cell, is_number=False)


def term(of: str, head: str | Promise, words: Words) -> Column:
    return Column(head, lambda row: Cell(word(words, row.get(of))), is_number=False)


def count(of: str, head: str | Promise) -> Column:
    return Column(head, lambda row: number_cell(row.get(of), whole=True))


def rate(of: str, head: str | Promise) -> Column:
    return Column(head, lambda row: rate_cell(row.get(of)))


def span(low: str, high: str, head: str | Promise) -> Column:
    def cell(row: Row) -> Cell:
        ends = [rate_cell(row.get(end)).text for end in (low, high)]
        return Cell("–" if "–" in ends else " – ".join(ends), is_number=True)

    return Column(head, cell)


ATTRIBUTE, GROUP, FEATURE = name("attribute", _("Attribute")), name("group", _("Group")), _("Column")
ROWS, INTERVAL = count("n", _("Rows")), span("low", "high", _("Interval"))
BINS = (
    span("bin_low", "bin_high", _("Scores")),
    ROWS,
    rate("mean_score", _("Mean score")),
    rate("observed_rate", _("Observed rate")),
)

TABLES: Mapping[str, tuple[str | Promise, Sequence[Column]]] = {
    "groups_regression": (
        _("Predictions and errors per group"),
        (
            ATTRIBUTE,
            GROUP,
            ROWS,
            rate("mean_prediction", _("Mean prediction")),
            span("mean_prediction_low", "mean_prediction_high", _("Interval")),
            rate("mean_target", _("Mean of the target")),
            rate("mae", _("Mean absolute error")),
            rate("rmse", _("Root mean squared error")),
            rate("mean_residual", _("Mean residual")),
        ),
    ),
    "one_vs_rest": (
        _("Rates per group, one class against the rest"),
        (
            ATTRIBUTE,
            name("class", _("Class")),
            GROUP,
            ROWS,
            rate("selection_rate", _("Selection rate")),
            rate("true_positive_rate", _("True positive rate")),
            rate("false_positive_rate", _("False positive rate")),
            rate("precision", _("Precision")),
        ),
    ),
    "confusion": (
        _("Truth and prediction"),
        (name("truth", _("Truth")), name("prediction", _("Prediction")), ROWS),
    ),
    "calibration": (_("Reliability of the scores"), BINS),
    "calibration_by_group": (_("Reliability of the scores within each group"), (ATTRIBUTE, GROUP, *BINS)),
    "proxies": (
        _("How well the inputs tell each sensitive column"),
        (
            ATTRIBUTE,
            term("use", _("Use"), USES),
            count("groups", _("Groups")),
            ROWS,
            rate("proxy_auc", _("Area under the ROC curve")),
            INTERVAL,
            count("flips", _("Decisions flipped")),
        ),
    ),
    "proxy_features": (
        _("Association of each input with the sensitive columns"),
        (ATTRIBUTE, name("feature", FEATURE), rate("cramers_v", _("Cramér's V")), ROWS),
    ),
    "shap_proxies": (
        _("Attribution on inputs associated with a sensitive column"),
        (
            ATTRIBUTE,
            name("feature", FEATURE),
            rate("association", _("Cramér's V")),
            rate("share", _("Share of attribution")),
        ),
    ),
    "drift": (
        _("Drift of each column"),
        (
            name("column", FEATURE),
            count("reference_n", _("Rows of the reference")),
            count("current_n", _("Rows now")),
            rate("population_stability_index", _("Population stability index")),
            span("population_stability_index_low", "population_stability_index_high", _("Interval")),
            rate("jensen_shannon", _("Jensen-Shannon divergence")),
            rate("kolmogorov_smirnov", _("Kolmogorov-Smirnov distance")),
            rate("p_holm", _("p-value, adjusted (Holm)")),
            rate("missing_change", _("Change of the missing share")),
        ),
    ),
    "drift_by_group": (
        _("Drift within each group"),
        (
            ATTRIBUTE,
            GROUP,
            name("column", FEATURE),
            count("reference_n", _("Rows of the reference")),
            count("current_n", _("Rows now")),
            rate("population_stability_index", _("Population stability index")),
        ),
    ),
    "drift_distributions": (
        _("Distribution of each column"),
        (
            name("column", FEATURE),
            name("cell", _("Values")),
            rate("reference_share", _("Share in the reference")),
            rate("current_share", _("Share now")),
        ),
    ),
    "robustness": (
        _("Decisions turned over by a disturbance"),
        (
            term("disturbance", _("Disturbance"), DISTURBANCES),
            name("attribute", _("Attribute"), "–"),
            name("group", _("Group"), _("all rows")),
            ROWS,
            count("flipped", _("Decisions flipped")),
            rate("flip_rate", _("Share")),
            INTERVAL,
        ),
    ),
    "privacy_columns": (
        _("Personal data in the columns"),
        (
            term("dataset", _("Dataset"), DATA_ROLES),
            name("column", FEATURE),
            term("category", _("What it holds"), PERSONAL),
            term("kind", _("Kind"), PERSONAL_KINDS),
            term("by", _("Told by"), PERSONAL_BY),
            rate("match_ratio", _("Share of values accepted")),
            count("sampled", _("Values looked at")),
        ),
    ),
    "performance_over_time": (
        _("Performance over time"),
        (
            count("window", _("Window")),
            name("from", _("From"), "–"),
            name("to", _("To"), "–"),
            ROWS,
            rate("value", _("Value")),
            INTERVAL,
        ),
    ),
}


def numbers_of(table_id: object, rows: list[Row]) -> tuple[str, TableView] | None:
    """Heading and table of a stored table; None for one that is not shown here, or shows no row."""
    if not rows or not isinstance(table_id, str):
        return None
    if table_id in SUMMED:
        return SUMMED[table_id](rows)
    if table_id not in TABLES:
        return None
    heading, columns = TABLES[table_id]
    return str(heading), _view(columns, rows)


def _view(columns: Sequence[Column], rows: list[Row]) -> TableView:
    heads = [Cell(str(column.head), column.is_number) for column in columns]
    return table_of(heads, rows, lambda row: [column.cell(row) for column in columns])


def _places(rows: list[Row], *names: str) -> int:
    """Decimals that show three significant digits of the largest of these figures."""
    found = [abs(value) for row in rows for of in names if (value := finite(row.get(of))) is not None]
    return min(7, places_for(max(found, default=0.0)))


def _measured(of: str, head: str | Promise, places: int, *, signed: bool = False) -> Column:
    """A figure of no fixed range."""

    def cell(row: Row) -> Cell:
        value = finite(row.get(of))
        if value is None:
            return number_cell(row.get(of))
        shown = reader().signed(value, places) if signed else reader().decimals(value, places)
        return Cell(shown, is_number=True)

    return Column(head, cell)


def _importance(rows: list[Row]) -> tuple[str, TableView]:
    places = _places(rows, "mean_abs")
    columns = (
        name("feature", FEATURE),
        _measured("mean_abs", _("Mean |φ|"), places),
        _measured("mean_signed", _("Mean φ"), places, signed=True),
        rate("share", _("Share")),
    )
    return gettext("Importance of each column"), _view(columns, rows)


def _by_group(rows: list[Row]) -> tuple[str, TableView]:
    mean = _measured("mean_abs", _("Mean |φ|"), _places(rows, "mean_abs"))
    columns = (ATTRIBUTE, GROUP, name("feature", FEATURE), mean)
    return gettext("Importance of each column per group"), _view(columns, rows)


def _points(rows: list[Row]) -> tuple[str, TableView] | None:
    found = [_summed(swarm) for swarm in swarms_of(rows, reader())]
    if not found:
        return None
    heads = (_("Lowest fifth"), _("Second fifth"), _("Middle fifth"), _("Fourth fifth"), _("Highest fifth"))
    places = _places(found, "least", "greatest")
    columns = (
        name("feature", FEATURE),
        ROWS,
        _measured("mean_abs", _("Mean |φ|"), places),
        _measured("least", _("Least φ"), places, signed=True),
        _measured("greatest", _("Greatest φ"), places, signed=True),
        *(_measured(f"fifth_{at}", head, places, signed=True) for at, head in enumerate(heads)),
    )
    return gettext("Contribution of each column, and its mean from low to high values"), _view(columns, found)


def _summed(swarm: Swarm) -> Row:
    values = [phi for phi, _rank in swarm.points]
    ranked = [(phi, rank) for phi, rank in swarm.points if rank is not None]
    return {
        "feature": swarm.name,
        "n": len(values),
        "mean_abs": swarm.mean_abs,
        "least": min(values),
        "greatest": max(values),
        **{f"fifth_{at}": mean for at, (_middle, mean) in enumerate(fifths(ranked))},
    }


SUMMED: Mapping[str, Callable[[list[Row]], tuple[str, TableView] | None]] = {
    "shap_importance": _importance,
    "shap_by_group": _by_group,
    "shap_points": _points,
}
