"""The HTTP client that asks judges' gateways. Apart, because few runs have a judge.

aiohttp takes as long to import as the rest of a run together.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from pacabench.errors import EvaluatorError

_MAX_REPLY_BYTES = 4 * 1024**2


class JudgeClient:
    """Posts questions. Made by :func:`open_client`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(
        self, model: str, url: URL, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Status and content of the reply to ``body``; the content up to a bound.

        Raises:
            EvaluatorError: there is none; names ``model``.
        """
        try:
            async with self._session.post(url, data=body, headers=headers) as reply:
                return reply.status, await _content(reply)
        except aiohttp.ClientError as error:
            raise EvaluatorError(f"the judge {model} cannot be asked: {error}") from error


@asynccontextmanager
async def open_client() -> AsyncIterator[JudgeClient]:
    """A client without a time limit of its own: aiohttp's would be 300 s."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield JudgeClient(session)


async def _content(reply: aiohttp.ClientResponse) -> bytes:
    """All of it, up to a bound; a single read would end where the first piece does."""
    content = bytearray()
    async for piece in reply.content.iter_any():
        content += piece
        if len(content) > _MAX_REPLY_BYTES:
            break
    return bytes(content[:_MAX_REPLY_BYTES])
