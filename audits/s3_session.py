"""How S3 is spoken to: straight to the endpoint of the installation. Imported only where an `s3:` URI is read."""

from __future__ import annotations

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession


class Redirected(Exception):  # noqa: N818 - says what happened
    """The store wanted the question asked elsewhere."""


async def _refuse(*_: Any) -> None:
    raise Redirected


class StraightSession(AIOHTTPSession):  # type: ignore[misc]  # no types come with it
    """Follows no redirect. aiohttp would, with the same headers, to wherever a store points: also into the network
    that Crivo stands in.
    """

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        if not session.trace_configs:
            # The hook that is called before the second question is asked; there is no switch for all questions.
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(_refuse)
            trace.freeze()
            session.trace_configs.append(trace)
        return session
