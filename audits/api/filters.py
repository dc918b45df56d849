"""Narrowing a list by query parameters, each declared once: for the question, for the document, for the 400."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter

from audits.api.base import View
from audits.errors import BadRequest

M = TypeVar("M", bound=Model)
LONGEST = 200  # characters of a value


@dataclass(frozen=True)
class Filter:
    """`lookup` as Django has it; `values`: the only ones that can be meant."""

    lookup: str
    description: str = ""
    values: tuple[str, ...] = ()


Filters = Mapping[str, Filter]
PART_OF_NAME = Filter("name__icontains", "a part of the name")


def parameters(filters: Filters) -> Sequence[OpenApiParameter]:
    return [
        OpenApiParameter(
            name,
            str if each.values else {"type": "string", "maxLength": LONGEST},
            enum=list(each.values) or None,
            description=each.description,
        )
        for name, each in filters.items()
    ]


def narrowed(view: View, rows: QuerySet[M], filters: Filters) -> QuerySet[M]:
    """The rows that fit everything asked for. 400 for a value that no row can have."""
    wanted: dict[str, Any] = {}
    for name, each in filters.items():
        if (value := view.request.query_params.get(name)) is None:
            continue
        if each.values and value not in each.values:
            raise BadRequest("invalid", field=name, reason=f"one of: {', '.join(each.values)}")
        if len(value) > LONGEST:
            raise BadRequest("invalid", field=name, reason=f"at most {LONGEST} characters")
        wanted[each.lookup] = value
    return rows.filter(**wanted)
