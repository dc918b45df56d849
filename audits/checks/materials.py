"""What a check is given: open files behind names, turned into frames and a predictor, once each."""

from __future__ import annotations

from copy import copy
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError, CheckInput, plain_role
from audits.checks.labels import Codes, canonical_column, listed
from audits.checks.loading import load_model
from audits.checks.parts import ParquetParts
from audits.checks.predictor import LARGEST, Predictor
from audits.checks.reading import read_frame
from audits.checks.semantics import Semantics

MAX_LABELS = 100


class Materials:
    """Files by role (artifact, training, evaluation), read at most once. Never sees a path."""

    def __init__(self, inputs: CheckInput, files: dict[str, BinaryIO]) -> None:
        self.inputs = inputs
        self.semantics = Semantics.read(inputs.semantics)
        self._files = files
        self._formats = {material.role: material.format for material in inputs.materials}
        self._dialects = {material.role: material.dialect for material in inputs.materials}
        self._frames: dict[str, pd.DataFrame] = {}
        self._parts: dict[str, ParquetParts | None] = {}
        self._model: Predictor | None = None

    def frame(self, role: str) -> pd.DataFrame:
        """The data of `role`, all columns; several files of one role one below the other, with the columns in the
        order of the first. The same object each time: copy before changing it. Raises `datasets_differ`."""
        if role not in self._frames:
            parts = [self._read(name, role) for name in self._formats if plain_role(name) == role]
            if not parts:
                raise CheckError("material_missing", role=role)
            for other in parts[1:]:
                apart = set(parts[0].columns) ^ set(other.columns)
                if apart:
                    raise CheckError("datasets_differ", role=role, columns=listed(sorted(apart)))
            whole = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
            self._frames[role] = whole
        return self._frames[role]

    def _read(self, name: str, role: str) -> pd.DataFrame:
        return read_frame(self._file(name), self._formats[name], role, self._dialects.get(name))

    def parts(self, role: str) -> ParquetParts | None:
        """The data of `role` in parts, where it is too long to be held at once; None: take `frame`, as of several
        files, in which a column may be of different types."""
        if role in self._frames or sum(plain_role(name) == role for name in self._formats) > 1:
            return None
        if role not in self._parts:
            self._parts[role] = ParquetParts.of(self._file(role), self.format_of(role), role)
        return self._parts[role]

    def part(self, role: str, frame: pd.DataFrame) -> Materials:
        """The same materials with only these rows for `role`, and the same model."""
        other = copy(self)
        other._frames = {**self._frames, role: frame}
        return other

    def _columns(self, role: str) -> tuple[str, ...]:
        parts = self.parts(role)
        return tuple(self.frame(role).columns) if parts is None else parts.columns

    def model(self) -> Predictor:
        """The artefact with its declared semantics. Needs the evaluation data for models without column names."""
        if self._model is None:
            loaded = load_model(
                self._file("artifact"),
                self._formats["artifact"],
                classes=self.semantics.classes,
                task=self.semantics.task,
            )
            role = next((name for name in ("evaluation", "training") if name in self._formats), None)
            named = getattr(loaded.estimator, "feature_names_in_", None) is not None
            columns = () if named or role is None else self._columns(role)
            self._model = Predictor(
                loaded.estimator, self.semantics, columns=columns, other_version=loaded.other_version
            )
        return self._model

    def column(self, role: str, name: str, reader: str) -> pd.Series:
        """One column; `reader` says who wants it. Raises `target_missing` or `column_missing`, naming it."""
        frame = self.frame(role)
        if name in frame.columns:
            return frame[name]
        if reader == "target":
            raise CheckError("target_missing", role=role, column=name)
        raise CheckError("column_missing", columns=name, reader=reader)

    def truth(self, role: str, classes: tuple[str, ...]) -> Codes:
        """The target as positions in `classes`, shape (rows,), every row known.

        Raises CheckError naming the target: `target_missing_values`, `target_not_categorical`,
        `label_unknown_to_model`.
        """
        target = self.semantics.target
        column = self.column(role, target, "target")
        codes, levels = canonical_column(column)
        if (codes < 0).any():
            raise CheckError("target_missing_values", role=role, column=target, rows=int((codes < 0).sum()))
        if len(levels) > MAX_LABELS:
            raise CheckError("target_not_categorical", role=role, column=target, count=len(levels))
        unknown = [name for name in levels if name not in classes]
        if unknown:
            raise CheckError(
                "label_unknown_to_model",
                role=role,
                column=target,
                labels=listed(unknown),
                classes=listed(classes),
            )
        place = np.array([classes.index(name) for name in levels], dtype=np.int64)
        return place[codes]

    def truth_values(self, role: str) -> npt.NDArray[np.float64]:
        """The target of a regression, shape (rows,), finite. Raises CheckError naming the target."""
        target = self.semantics.target
        column = self.column(role, target, "target")
        if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            raise CheckError("target_not_numeric", role=role, column=target)
        if bool(column.isna().any()):
            raise CheckError("target_missing_values", role=role, column=target, rows=int(column.isna().sum()))
        values: npt.NDArray[np.float64] = column.to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            raise CheckError("column_not_finite", column=target)
        if (np.abs(values) > LARGEST).any():
            raise CheckError("target_too_large", role=role, column=target)
        return values

    def format_of(self, role: str) -> str | None:
        """The declared format of a material, None where there is none."""
        return self._formats.get(role)

    def there(self, role: str) -> bool:
        """Whether the file of a role could be opened: the worker leaves out training data for which a sketch stands."""
        return role in self._files

    @property
    def smallest_cell(self) -> int:
        """The fewest rows of a cell in the data zone of the data; 0 without one."""
        zone = self.inputs.semantics.get("zone") or {}
        return int(zone.get("k") or 0)

    def bytes_of(self, role: str) -> bytes:
        """A material as it is. Raises CheckError `material_missing`."""
        file = self._file(role)
        file.seek(0)
        return file.read()

    def _file(self, role: str) -> BinaryIO:
        if role not in self._files or role not in self._formats:
            raise CheckError("material_missing", role=role)
        return self._files[role]
