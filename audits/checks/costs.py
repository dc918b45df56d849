"""What the decisions cost by the declared cost matrix, beside the cheapest constant answer (Elkan 2001)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.checks.contract import CheckError, Metric
from audits.checks.labels import Codes, listed
from audits.checks.scores import Figure, mean_figure

Floats = npt.NDArray[np.float64]


def cost_table(costs: dict[tuple[str, str], float], classes: tuple[str, ...]) -> Floats | None:
    """Cost by (truth, decision) as positions in `classes`, shape (classes, classes); None where nothing is declared.

    Raises CheckError `model_classes_mismatch` for a label the model does not know.
    """
    if not costs:
        return None
    for label in (name for pair in costs for name in pair):
        if label not in classes:
            raise CheckError(
                "model_classes_mismatch", field="cost_matrix", label=label, classes=listed(classes)
            )
    table = np.zeros((len(classes), len(classes)))
    for (truth, decision), cost in costs.items():
        table[classes.index(truth), classes.index(decision)] = cost
    return table


def expected_cost(table: Floats, truth: Codes, decided: Codes, level: float) -> Figure:
    """Mean cost of a row, in the unit of the matrix."""
    return mean_figure(table[truth, decided], level)


def cheapest(table: Floats, training: Codes) -> int:
    """The one decision that would have cost least on the training rows, if it were always made."""
    shares = np.bincount(training, minlength=len(table)) / len(training)
    return int((shares @ table).argmin())


def cost_gain(table: Floats, truth: Codes, decided: Codes, constant: int, level: float) -> Metric:
    """How much less a row costs than with the constant answer; the interval is of the paired differences."""
    found = mean_figure(table[truth, constant] - table[truth, decided], level)
    return Metric(
        "cost_gain",
        found.value,
        interval=found.interval,
        level=None if found.interval is None else level,
        n=found.n,
        denominators=found.denominators,
    )
