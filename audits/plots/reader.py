"""Who reads the figure: their language and the way they write numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from audits.plots import svg

Labels = Callable[[str], str]  # gettext, or anything that takes the English sentence
NumberFormat = Callable[[float, int], str]  # (value, decimals) → text in the reader's locale
Row = Sequence[object] | Mapping[str, object]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
ABSENT = "–"


def english(message: str) -> str:
    """The sentences as they stand in the source."""
    return message


def plain_number(value: float, decimals: int) -> str:
    """1,234.50: the default number format."""
    return f"{value:,.{decimals}f}"


@dataclass(frozen=True)
class Reader:
    """Sentences and numbers of one reader. None is always `–`, never 0."""

    gettext: Labels = english
    number: NumberFormat = plain_number

    def decimals(self, value: float | None, places: int) -> str:
        """`value` with `places` decimals and a true minus sign; very large or small ones as a power of
        ten."""
        if value is None:
            return ABSENT
        if value == 0:
            value = 0.0
        if abs(value) >= 1e7 or places > 7:
            return self._scientific(value)
        rounded = round(value, places)
        if rounded == 0:
            if value != 0:  # something is there: "0.00" would deny it
                return (
                    self._signed(f"<{chr(0xA0)}", 10.0**-places, places)
                    if value > 0
                    else self._near_zero(places)
                )
            rounded = 0.0
        return self._signed("", rounded, places)

    def _near_zero(self, places: int) -> str:
        return self._signed(f">{chr(0xA0)}", -(10.0**-places), places)

    def _signed(self, before: str, value: float, places: int) -> str:
        return before + ("−" if value < 0 else "") + self.number(abs(value), places)

    def _scientific(self, value: float) -> str:
        if value == 0:
            return self.number(0.0, 0)
        exponent = math.floor(math.log10(abs(value)))
        mantissa = round(abs(value) / 10.0**exponent, 2)
        if mantissa >= 10:
            mantissa, exponent = mantissa / 10, exponent + 1
        sign = "−" if value < 0 else ""
        return f"{sign}{self.number(mantissa, 2)} × 10{str(exponent).translate(_SUPERSCRIPT)}"

    def rate(self, value: float | None) -> str:
        """A share with two decimals: 0.43."""
        return self.decimals(value, 2)

    def count(self, value: int | None) -> str:
        return ABSENT if value is None else self.decimals(float(value), 0)

    def signed(self, value: float | None, places: int) -> str:
        """With its sign, plus included."""
        shown = self.decimals(value, places)
        return f"+{shown}" if value is not None and value > 0 and not shown.startswith("<") else shown

    def interval(self, low: float | None, high: float | None) -> str:
        """`0.36 – 0.51`, or nothing when an end is missing."""
        return "" if low is None or high is None else f"{self.rate(low)} – {self.rate(high)}"

    def apart(self, value: float, limit: float, places: int = 3) -> str:
        """`value` with as many decimals as it takes not to read like the `limit` it misses (0.7996 is not
        0.80)."""
        while places < 7 and (value < limit) != (round(value, places) < limit):
            places += 1
        return self.decimals(value, places)

    def name(self, value: object) -> str:
        """A name from the data, safe to draw; an empty or absent one is said to be so."""
        _ = self.gettext
        if value is None:
            return _("(unknown)")
        return svg.clean_name(value) or _("(empty)")


def places_for(largest: float) -> int:
    """Decimals that show three significant figures of the largest value in a column."""
    if largest == 0:
        return 2
    return max(0, 2 - math.floor(math.log10(abs(largest))))


def as_mappings(rows: Iterable[Row], columns: Sequence[str]) -> list[Mapping[str, object]]:
    """Rows by column name, from mappings or from sequences in the fixed order; short rows end in None."""
    named: list[Mapping[str, object]] = []
    for row in rows:
        if isinstance(row, Mapping):
            named.append(row)
        elif isinstance(row, Sequence) and not isinstance(row, str | bytes):
            named.append({**dict.fromkeys(columns), **dict(zip(columns, row, strict=False))})
    return named
