"""Fallback presentation attributes per class: what a figure looks like without `plots.css`, on paper or as a
file.

The light theme of the stylesheet holds the same colours (a test keeps the two together).
"""

from __future__ import annotations

FONT_FAMILY = "Inter, ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

INK, MUTED, FAINT = "#1f2937", "#566072", "#8a93a3"
GRID, AXIS, PAPER = "#e6e9ee", "#9aa3b0", "#ffffff"
ACCENT, BELOW, BAND = "#1f6fb2", "#b9400e", "#e3eefa"

# matplotlib's plasma (CC0) without its last fifth: lightness grows all the way, so low and high stay apart
# for every kind of colour vision and in a grey print.
RANKS = ("#0d0887", "#46039f", "#7201a8", "#9c179e", "#bd3786", "#d8576b", "#ed7953")
HEAT = ("#f1f6fc", "#d3e4f5", "#a3c9ea", "#2f76b5", "#12497f")
HEAT_TEXT = (INK, INK, INK, "#ffffff", "#ffffff")
SERIES = ("#1f6fb2", "#c2500a", "#0b7f5f", "#94389a", "#80660a", "#4b5563", "#b0203c", "#0e7490")

STYLE: dict[str, dict[str, str | float]] = {
    "plot-background": {"fill": PAPER},
    "plot-text": {"fill": INK},
    "plot-strong": {"fill": INK, "font-weight": "600"},
    "plot-muted": {"fill": MUTED, "font-size": "11"},
    "plot-greyed": {"fill": MUTED},
    "plot-note": {"fill": MUTED, "font-size": "11"},
    # A heading that lines of the drawing run through: its ground goes with it.
    "plot-over": {
        "stroke": PAPER,
        "stroke-width": "4",
        "stroke-linejoin": "round",
        "paint-order": "stroke",
    },
    "plot-grid": {"stroke": GRID, "stroke-width": "1"},
    "plot-axis": {"stroke": AXIS, "stroke-width": "1"},
    "plot-band": {"fill": BAND},
    "plot-limit": {"stroke": ACCENT, "stroke-width": "1", "stroke-dasharray": "4 3"},
    "plot-interval": {"stroke": ACCENT, "stroke-width": "2", "stroke-linecap": "round", "fill": "none"},
    "plot-interval-below": {"stroke": BELOW, "stroke-width": "2", "stroke-linecap": "round", "fill": "none"},
    "plot-interval-excluded": {
        "stroke": FAINT,
        "stroke-width": "1.5",
        "stroke-dasharray": "2 3",
        "fill": "none",
    },
    "plot-dot": {"fill": ACCENT, "stroke": PAPER, "stroke-width": "1.5"},
    "plot-dot-below": {"fill": BELOW, "stroke": PAPER, "stroke-width": "1.5"},
    "plot-dot-excluded": {"fill": PAPER, "stroke": FAINT, "stroke-width": "1.5"},
    "plot-bar": {"fill": ACCENT},
    "plot-bar-down": {"fill": BELOW},
    "plot-bar-count": {"fill": FAINT},
    "plot-hatch": {"stroke": PAPER, "stroke-width": "2"},
    "plot-sensitive": {"fill": BELOW},
    "plot-range": {"stroke": AXIS, "stroke-width": "2", "stroke-linecap": "round"},
    "plot-missing": {"stroke": FAINT, "stroke-width": "1.2", "stroke-linecap": "round", "fill": "none"},
    "plot-diagonal": {"stroke": MUTED, "stroke-width": "1", "stroke-dasharray": "5 4"},
    "plot-path": {"stroke": ACCENT, "stroke-width": "1.5", "fill": "none", "stroke-linejoin": "round"},
    "plot-count": {"font-weight": "600"},
    "plot-small": {"font-size": "11"},
    "plot-cell-edge": {"stroke": INK, "stroke-width": "1.5", "fill": "none"},
    **{
        f"plot-rank-{index}": {
            "stroke": colour,
            "stroke-width": "4.6",
            "stroke-linecap": "round",
            "fill": "none",
        }
        for index, colour in enumerate(RANKS)
    },
    **{f"plot-key-{index}": {"fill": colour} for index, colour in enumerate(RANKS)},
    **{f"plot-heat-{index}": {"fill": colour} for index, colour in enumerate(HEAT)},
    **{f"plot-heat-text-{index}": {"fill": colour} for index, colour in enumerate(HEAT_TEXT)},
    **{
        f"plot-series-{index}": {"fill": colour, "stroke": PAPER, "stroke-width": "1"}
        for index, colour in enumerate(SERIES)
    },
}
