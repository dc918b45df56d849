"""Figures of check results as SVG, drawn from their stored tables in the reader's language.

Pure standard library: the web process draws them and may import neither numpy nor matplotlib. Same rows, same
language, same bytes. The markup can be inlined under a strict CSP (presentation attributes and classes only);
the theme is `audits/static/audits/plots.css`.
"""

from audits.plots.beeswarm import beeswarm_plot
from audits.plots.by_group import importance_by_group_plot
from audits.plots.dispatch import Plot, plots_for
from audits.plots.importance import importance_plot
from audits.plots.rates import group_rates_plot
from audits.plots.scores import calibration_plot, confusion_plot

__all__ = [
    "Plot",
    "beeswarm_plot",
    "calibration_plot",
    "confusion_plot",
    "group_rates_plot",
    "importance_by_group_plot",
    "importance_plot",
    "plots_for",
]
