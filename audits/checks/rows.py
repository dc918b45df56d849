"""The rows of one data set in chunks, of the types they would have if they were read at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.materials import Materials


class Rows:
    """Of long data a batch at a time, of short data all at once; as often as wanted.

    `gaps`: what `ParquetParts.gaps` says, where it is known already.
    """

    def __init__(self, materials: Materials, role: str, gaps: Iterable[str] | None = None) -> None:
        self.materials, self.role = materials, role
        self.parts = materials.parts(role)
        if self.parts is None:
            frame = materials.frame(role)
            self.columns, self.count = tuple(frame.columns), len(frame)
            self.gaps: frozenset[str] = frozenset()
        else:
            self.columns, self.count = self.parts.columns, self.parts.rows
            self.gaps = self.parts.gaps() if gaps is None else frozenset(gaps)

    def chunks(
        self, columns: Iterable[str] | None = None, span: range | None = None
    ) -> Iterator[pd.DataFrame]:
        """With all columns or these; `span`: of long data only the batches with these places."""
        names = self.columns if columns is None else tuple(dict.fromkeys(columns))
        if self.parts is None:
            yield self.materials.frame(self.role)[list(names)]
            return
        for frame in self.parts.frames(names, span):
            for name in self.gaps.intersection(names):
                column = frame[name]
                if pd.api.types.is_bool_dtype(column.dtype):
                    frame[name] = column.astype(object)
                elif pd.api.types.is_integer_dtype(column.dtype):
                    frame[name] = column.astype(np.float64)
            yield frame

    def require(self, column: str) -> None:
        """Raises CheckError `target_missing`."""
        if column not in self.columns:
            raise CheckError("target_missing", role=self.role, column=column)
