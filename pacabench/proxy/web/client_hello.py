"""The first words of a TLS client, which name in the clear the host that it wants.

Only that far is TLS open. A tunnel that begins with a ClientHello for the allowed host leads to
that host, or to another one of the same server's that its certificate would have to cover.

Source: RFC 8446 (sections 4.1.2, 4.1.3 and 5.1), RFC 6066 (section 3).
"""

from dataclasses import dataclass

from pacabench.allow_list import normal_host

MAX_HELLO_BYTES = 64 * 1024
MAX_HELLO_RECORDS = 64
"""A hello may come in pieces; nobody needs more of them."""
MAX_RECORD_BYTES = 2**14 + 2048
"""Of one record's content, encrypted ones of TLS 1.2 included (RFC 5246, 6.2.3)."""
HEADER_BYTES = 5

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
_CONTENT = range(CHANGE_CIPHER_SPEC, APPLICATION_DATA + 1)
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_HOST_NAME = 0
_SERVER_NAME = 0
_ENCRYPTED = frozenset({0xFE0D, 0xFFCE})
"""encrypted_client_hello, and the encrypted_server_name that came before it."""
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""By which a ServerHello says that it is a HelloRetryRequest (RFC 8446, 4.1.3)."""
ACCESS_DENIED = bytes.fromhex("15030300020231")
"""A fatal alert, access_denied."""


class NotTlsError(ValueError):
    """What was sent is no TLS, or none whose beginning can be understood."""


class HiddenNameError(NotTlsError):
    """The hello hides the name that it wants."""


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What stands before a record's content."""

    content: int
    length: int


def parse_header(header: bytes) -> RecordHeader:
    """The five bytes before a record.

    Raises:
        NotTlsError: it is none.
    """
    content, major, minor = header[0], header[1], header[2]
    length = int.from_bytes(header[3:5])
    if content not in _CONTENT or major != 3 or minor > 4:  # noqa: PLR2004 - TLS is SSL 3.x
        raise NotTlsError("it is no TLS record")
    if length > MAX_RECORD_BYTES or (length == 0 and content != APPLICATION_DATA):
        raise NotTlsError("a TLS record has no possible length")
    return RecordHeader(content, length)


class Handshake:
    """Puts one handshake message together out of the records that it comes in."""

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._held = bytearray()
        self._records = 0

    def feed(self, content: bytes) -> bytes | None:
        """Take the content of a handshake record; the message's body, once it is whole.

        Raises:
            NotTlsError: it is another message, or not to be understood, or too long.
        """
        self._records += 1
        self._held += content
        if not self._held:
            raise NotTlsError("its hello begins with an empty record")
        if self._records > MAX_HELLO_RECORDS:
            raise NotTlsError("its hello comes in too many pieces")
        if self._held[0] != self._kind:
            raise NotTlsError("its first message is not a hello")
        if len(self._held) < 4:  # noqa: PLR2004 - type and length
            return None
        length = int.from_bytes(self._held[1:4])
        if length > MAX_HELLO_BYTES:
            raise NotTlsError("its hello is too long")
        if len(self._held) < length + 4:
            return None
        return bytes(self._held[4 : length + 4])

    @property
    def is_alone(self) -> bool:
        """Nothing follows the message in the record that it ended in."""
        return len(self._held) == int.from_bytes(self._held[1:4]) + 4


def client_handshake() -> Handshake:
    """For a ClientHello."""
    return Handshake(_CLIENT_HELLO)


def server_handshake() -> Handshake:
    """For a ServerHello."""
    return Handshake(_SERVER_HELLO)


def is_retry(server_hello: bytes) -> bool:
    """Whether the server asks for a second ClientHello."""
    return server_hello[2:34] == _RETRY_RANDOM


def wanted_host(client_hello: bytes) -> str | None:
    """The host that a ClientHello's body names; None where it names none.

    Raises:
        HiddenNameError: it names another one besides, encrypted.
        NotTlsError: it is not to be understood.
    """
    reader = _Reader(client_hello)
    reader.take(2 + 32)  # legacy_version, random
    session = reader.vector(1)
    suites = reader.vector(2)
    compressions = reader.vector(1)
    if len(session) > 32 or len(suites) < 2 or len(suites) % 2 or not compressions:  # noqa: PLR2004 - RFC 8446, 4.1.2
        raise NotTlsError("its hello is not well-formed")
    if reader.is_done:
        return None
    extensions = _Reader(reader.vector(2))
    reader.expect_end()
    found: dict[int, bytes] = {}
    while not extensions.is_done:
        kind = int.from_bytes(extensions.take(2))
        if kind in found:
            raise NotTlsError("its hello has an extension twice")
        found[kind] = extensions.vector(2)
    if not _ENCRYPTED.isdisjoint(found):
        raise HiddenNameError(
            "its hello holds a second, encrypted one (ECH), whose host nobody can check"
        )
    return _server_name(found[_SERVER_NAME]) if _SERVER_NAME in found else None


def _server_name(extension: bytes) -> str:
    """The one host in a server_name extension."""
    outer = _Reader(extension)
    names = _Reader(outer.vector(2))
    outer.expect_end()
    kind = names.take(1)[0]
    name = names.vector(2)
    names.expect_end()
    host = normal_host(name.decode("latin-1"))
    if kind != _HOST_NAME or host is None or name.endswith(b"."):
        raise NotTlsError("its hello names no host")
    return host


class _Reader:
    """Takes bytes off the front, and never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_done(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise NotTlsError("its hello ends too early")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def vector(self, size: int) -> bytes:
        """Bytes behind their length, which has ``size`` bytes."""
        return self.take(int.from_bytes(self.take(size)))

    def expect_end(self) -> None:
        if not self.is_done:
            raise NotTlsError("its hello has something behind its end")
