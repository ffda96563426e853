"""The reference: what a relay on aiohttp costs that does nothing but relay.

Reads the request's body, sends it on with its headers, and hands the reply back as it comes. It
checks nothing, counts nothing and writes nothing down. aiohttp's low-level server, with no router
and no access log: less than this no relay on aiohttp can do.

    python bare_relay.py UPSTREAM_PORT        prints its port, serves until stdin ends
"""

import asyncio
import resource
import sys

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"}
)


async def serve(upstream_port: int) -> None:
    """Relay to the loopback's ``upstream_port``."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=600)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        base = URL(f"http://127.0.0.1:{upstream_port}")

        async def relay(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.read()
            headers = {
                name: value
                for name, value in request.headers.items()
                if name.lower() not in _HOP_BY_HOP
            }
            async with session.request(
                request.method, base.join(request.rel_url), data=body, headers=headers
            ) as reply:
                kept = {
                    name: value
                    for name, value in reply.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                }
                response = web.StreamResponse(status=reply.status, headers=kept)
                response.content_length = reply.content_length
                await response.prepare(request)
                async for chunk in reply.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        server = web.Server(relay, access_log=None)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server, "127.0.0.1", 0, backlog=1024)
        print(listener.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    _, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))
    asyncio.run(serve(int(sys.argv[1])))
