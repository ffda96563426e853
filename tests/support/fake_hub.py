"""A hub for data sets on this machine, as far as its real client asks for things."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """``rows`` as the hub's own conversion writes them."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@dataclass
class FakeHub:
    """Data sets by name, each with revisions; and what was asked for."""

    url: str = ""
    token: str | None = None
    """Asked for, where there is one."""
    commits: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    """Name and commit to files."""
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes after which the next download breaks off."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and range."""

    def push(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Make a commit of ``files`` and let ``branch`` name it."""
        content = json.dumps([name, branch, {path: data.hex() for path, data in files.items()}])
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits[name, commit] = files
        self.branches[name, branch] = commit
        return commit

    def files_of(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.branches.get((name, revision), revision)
        files = self.commits.get((name, commit))
        return None if files is None else (commit, files)


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one class, and its methods are short
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # a connection that is kept would answer after the end

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def _serve(self) -> None:
            hub.asked.append((self.command, self.path, self.headers.get("Range")))
            parts = self.path.strip("/").replace("%2F", "/").split("/")
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._say(401, b"{}", {"X-Error-Code": "GatedRepo"})
            elif parts[:2] == ["api", "datasets"]:
                self._describe("/".join(parts[2:4]), "/".join(parts[5:]) or "main")
            else:
                self._file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))

        def _describe(self, name: str, revision: str) -> None:
            found = hub.files_of(name, revision)
            if found is None:
                known = any(other == name for other, _ in hub.commits)
                code = "RevisionNotFound" if known else "RepoNotFound"
                self._say(404, b"{}", {"X-Error-Code": code})
                return
            commit, files = found
            told = {
                "id": name,
                "sha": commit,
                "siblings": [{"rfilename": path} for path in files],
                "cardData": hub.cards.get(name, {}),
                "private": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
            }
            self._say(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

        def _file(self, name: str, revision: str, path: str) -> None:
            found = hub.files_of(name, revision)
            if found is None or path not in found[1]:
                self._say(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            commit, data = found[0], found[1][path]
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            headers = {"X-Repo-Commit": commit, "ETag": etag, "Accept-Ranges": "bytes"}
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._say(206 if start else 200, data[start:], headers)

        def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if hub.cut_after is not None and "/resolve/" in self.path:
                body, hub.cut_after = body[: hub.cut_after], None
                self.close_connection = True
            self.wfile.write(body)

    return Handler


@contextmanager
def open_hub() -> Iterator[FakeHub]:
    """A hub that answers until the context ends."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
