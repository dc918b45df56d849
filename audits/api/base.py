"""What all API views share: the command of a request, refusing unknown query parameters, long poll, ETags, pages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeVar, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import close_old_connections
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound as DRFNotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from audits.actors import Actor, Command, Idempotency, SubjectRef
from audits.canonical import digest_of, storable
from audits.errors import BadRequest, NotFound
from audits.ids import uuid7
from audits.preconditions import read_if_match, tag_of

T = TypeVar("T")
MAX_WAIT = 30.0


class Page(CursorPagination):
    """Keyset paging: as fast on page 1,000 as on page 1, and nothing skipped when rows are added meanwhile.

    The newest first, or with `?order=oldest` the other way round.
    """

    ordering = "-id"
    order_query_param = "order"
    orders = ("newest", "oldest")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > self.max_page_size:
            raise BadRequest("page_size_invalid", field="page_size", limit=self.max_page_size)
        return int(text)

    def get_order(self, request: Request) -> str:
        order = request.query_params.get(self.order_query_param, self.orders[0])
        if order not in self.orders:
            raise BadRequest(
                "invalid", field=self.order_query_param, reason=f"one of: {', '.join(self.orders)}"
            )
        return order

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        newest: tuple[str, ...] = super().get_ordering(request, queryset, view)
        if self.get_order(request) == self.orders[0]:
            return newest
        return tuple(name.removeprefix("-") if name.startswith("-") else f"-{name}" for name in newest)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        parameters.append(
            {
                "name": self.order_query_param,
                "required": False,
                "in": "query",
                "description": "which of the rows come first",
                "schema": {"type": "string", "enum": list(self.orders), "default": self.orders[0]},
            }
        )
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {
                    "minimum": 1,
                    "maximum": self.max_page_size,
                    "default": self.page_size,
                }
        return parameters

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (DRFNotFound, ValidationError, ValueError, TypeError) as error:
            # The position in a cursor is compared with a column: one we did not make may be of no type at all.
            if self.cursor_query_param not in request.query_params:
                raise
            raise BadRequest("invalid", field="cursor", reason="not a cursor of this list") from error


class View(APIView):
    """A view of the API. `query` names the query parameters it knows; any other is a 400, never ignored."""

    query: tuple[str, ...] = ()
    pagination_class: type[Page] = Page  # of the answers that are lists

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not hasattr(self, (request.method or "").lower()):
            return  # 405, whatever else is wrong with it
        if "\x00" in request.path:
            raise NotFound("not_found", kind="", name="")
        if request.headers.get("Transfer-Encoding") and not request.headers.get("Content-Length"):
            # Django reads no body of unknown length: better said than taken for an empty one.
            raise BadRequest("malformed", reason="send Content-Length; a chunked body is not read")
        key = request.headers.get("Idempotency-Key")
        if key is not None and not re.fullmatch(r"[!-~]{1,200}", key):
            raise BadRequest("idempotency_key_invalid", field="Idempotency-Key")
        page = self.pagination_class()
        page.get_page_size(request)
        page.get_order(request)
        known = {*self.query, "cursor", "page_size", "order", "format"}
        for name in request.query_params:
            if name not in known or (request.method != "GET"):
                raise BadRequest("query_parameter_unknown", field=name, name=name, known=sorted(self.query))
            if any("\x00" in value for value in request.query_params.getlist(name)):
                raise BadRequest("invalid", field=name, reason="NUL")

    @property
    def actor(self) -> Actor:
        actor = self.request.user
        if not isinstance(actor, Actor):
            raise TypeError("the authentication class did not supply an Actor")
        return actor

    def command(self, *, body: Any = None, updates: str = "") -> Command:
        """The command of this request; `body` is what the idempotency key is bound to, default the parsed JSON.

        `updates`: the kind of the one subject it changes; If-Match is then held against that.
        """
        request = self.request
        key = request.headers.get("Idempotency-Key", "")
        idempotency = None
        if key:
            digest = digest_of(storable(body if body is not None else _plain(request.data))[0])
            idempotency = Idempotency(request.method or "", request.path[:500], key, digest)
        return Command(
            actor=self.actor,
            token=cast(UUID | None, request.auth),
            request_id=getattr(request, "crivo_request_id", None) or uuid7(),
            correlation_id=_uuid_header(request),
            idempotency=idempotency,
            precondition=read_if_match(request.headers.get("If-Match", ""), updates) if updates else None,
        )


def _plain(data: Any) -> Any:
    return data if isinstance(data, dict | list | str | int | float | bool | None) else dict(data)


def _uuid_header(request: Request) -> UUID:
    try:
        return UUID(request.headers.get("X-Correlation-Id", ""))
    except ValueError:
        return uuid7()


def wait_for(read: Callable[[], T], done: Callable[[T], bool], seconds: float) -> T:
    """Read until `done` or the time is over: a long poll. Holds no transaction while it waits."""
    deadline = time.monotonic() + min(seconds, MAX_WAIT)
    value, pause = read(), 0.05
    while not done(value) and (left := deadline - time.monotonic()) > 0:
        close_old_connections()
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 0.5)
        value = read()
    return value


def wait_seconds(request: Request) -> float:
    text = request.query_params.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 3600:
        raise BadRequest("wait_invalid", field="wait", limit=int(MAX_WAIT))
    return seconds


def etag_of(digest: str) -> str:
    return f'"{sha256(digest.encode()).hexdigest()[:32]}"'


def given_by(shape: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """The body of the request in the given shape, or 400."""
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def tagged(subject: SubjectRef, render: Callable[[], Any], status: int = 200) -> Response:
    """What `render` shows of the subject, with the ETag an update may send back as If-Match."""
    tag = tag_of(subject)
    return Response(render(), status=status, headers={"ETag": tag} if tag else None)


def paged(view: View, queryset: QuerySet[Any], shape: type[BaseSerializer[Any]]) -> Response:
    """One page of `queryset` as {next, previous, results}."""
    paginator = view.pagination_class()
    rows = paginator.paginate_queryset(queryset, view.request, view=view)
    return paginator.get_paginated_response(shape(rows, many=True).data)
