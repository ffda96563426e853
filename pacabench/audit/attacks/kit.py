"""What attack scripts share. Runs inside the attacked container: standard library only."""

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Given = Mapping[str, Any]
Found = dict[str, Any]
AttackFunction = Callable[[Given], Found | None]

REACH_WITHIN_S = 2.0
_SILENCE_S = 0.4
_ALONE_WITHIN_S = 15.0
_NO_WAY_S = 3.0
SYSCALLS = {
    "x86_64": {
        "mount": 165, "umount2": 166, "ptrace": 101, "setns": 308, "unshare": 272, "bpf": 321,
        "keyctl": 250, "add_key": 248, "request_key": 249, "perf_event_open": 298,
        "userfaultfd": 323, "io_uring_setup": 425, "init_module": 175, "kexec_load": 246,
        "process_vm_readv": 310, "process_vm_writev": 311, "open_by_handle_at": 304,
        "fsopen": 430, "clone": 56, "pivot_root": 155, "mknodat": 259, "fsmount": 432,
    },
    "aarch64": {
        "mount": 40, "umount2": 39, "ptrace": 117, "setns": 268, "unshare": 97, "bpf": 280,
        "keyctl": 219, "add_key": 217, "request_key": 218, "perf_event_open": 241,
        "userfaultfd": 282, "io_uring_setup": 425, "init_module": 105, "kexec_load": 104,
        "process_vm_readv": 270, "process_vm_writev": 271, "open_by_handle_at": 265,
        "fsopen": 430, "clone": 220, "pivot_root": 41, "mknodat": 33, "fsmount": 432,
    },
}  # fmt: skip
_NOT_BUILT_IN = {"ENOSYS", "ENOPKG", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ENODEV", "ENXIO"}


def found(broke: bool, **evidence: Any) -> Found:
    """An answer: whether the attack did what it must not, and what was seen."""
    return {"broke": broke, "evidence": evidence, "missing": None}


def missing(reason: str, **evidence: Any) -> Found:
    """An answer: this kernel or engine lacks what is attacked."""
    return {"broke": False, "evidence": evidence, "missing": reason}


def unclear(reason: str) -> Found:
    """An answer: here and now nothing can be known."""
    return {"broke": None, "evidence": {}, "unclear": reason}


def absent(outcome: str) -> bool:
    """Whether an error's name says that the kernel has no such thing."""
    return outcome in _NOT_BUILT_IN


def outcome(work: Callable[[], object]) -> str:
    """``done``, or the name of the error."""
    try:
        work()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def syscall(name: str, *args: Any) -> tuple[int, str]:
    """A raw system call: its result, and ``done`` or its error's name.

    Integers and ctypes objects go as they are, bytes as pointers.
    """
    numbers = SYSCALLS.get(os.uname().machine, {})
    if name not in numbers:
        return -1, "ENOSYS"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = int(libc.syscall(ctypes.c_long(numbers[name]), *given))
    if result < 0:
        return result, errno.errorcode.get(ctypes.get_errno(), "?")
    return result, "done"


def reach_tcp(address: str, port: int, *, send: bytes = b"") -> str:
    """Connect: ``done: <first bytes>`` when something answered, else the error's name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        target = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(REACH_WITHIN_S)
            sock.connect(target)
            with contextlib.suppress(OSError):
                sock.sendall(send)
                return f"done: {sock.recv(200).decode(errors='replace')}"
            return "done: connected"
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def reach_udp(address: str, port: int, payload: bytes) -> str:
    """Send a datagram: ``done: <answer>``, ``sent`` when none came, or the error's name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        target = socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM)[0][4]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(REACH_WITHIN_S)
            sock.connect(target)
            sock.send(payload)
            try:
                return f"done: {sock.recv(2000).hex()}"
            except TimeoutError:
                return "sent"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


UNREACHABLE = {"ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM", "EADDRNOTAVAIL", "EAFNOSUPPORT"}
"""Errors that mean: no packet left. Anything else came from outside: a refusal, a silence."""


def left(outcomes: Mapping[str, str]) -> bool:
    """Whether one of ``outcomes`` shows that a packet left the container."""
    return any(result not in UNREACHABLE for result in outcomes.values())


def resolve(name: str) -> list[str]:
    """Addresses of ``name`` as the C library finds them."""
    try:
        found_at = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return []
    return sorted({str(entry[4][0]) for entry in found_at})


def nameservers() -> list[str]:
    """Those that ``/etc/resolv.conf`` names."""
    lines = Path("/etc/resolv.conf").read_text(encoding="ascii", errors="replace").splitlines()
    words = [line.split() for line in lines]
    return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def dns_query(name: str) -> bytes:
    """A query for an A record."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x2a\x2a\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\0\0\x01\0\x01"


def sockets_below(*roots: str) -> list[str]:
    """Paths of Unix sockets below ``roots``."""
    paths = (
        os.path.join(folder, name)  # noqa: PTH118 - strings throughout
        for root in roots
        for folder, _, names in os.walk(root)
        for name in names
    )
    return [path for path in paths if _is_socket(path)]


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116 - as above
    except OSError:
        return False


def keyed() -> str:
    """The header that carries this attempt's own key."""
    return f"Authorization: Bearer {os.environ['OPENAI_API_KEY']}\r\n"


OWN_KEY = "own"


def chat_request(
    text: str, *, path: str = "/v1/chat/completions", key: str | None = OWN_KEY
) -> bytes:
    """A chat completion's request as bytes; ``key`` None: without one."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    told = keyed() if key == OWN_KEY else "" if key is None else f"Authorization: Bearer {key}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{told}"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{kind}".encode() + body


def raw_http(port: int, request: bytes, *, then: bytes = b"") -> str:
    """Send bytes to the proxy as they are; what came back until it was silent or closed.

    ``then`` is sent once something came back.
    """
    data = b""
    try:
        with socket.create_connection(("127.0.0.1", port), REACH_WITHIN_S) as sock:
            sock.settimeout(REACH_WITHIN_S)
            sock.sendall(request)
            while piece := sock.recv(65536):
                data += piece
                if then:
                    sock.sendall(then)
                    then = b""
                sock.settimeout(_SILENCE_S)
    except OSError as error:
        if not data:
            return errno.errorcode.get(error.errno or 0, str(error))
    return data.decode(errors="replace")


def client_hello(name: str | None) -> bytes:
    """The first message of TLS, which names the host that is wanted; None: it names none."""
    context = ssl.create_default_context()
    context.check_hostname = False
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


ALLOWED = "allowed.audit.test"
"""The one host of the web that attackers may reach, on ports 80 and 443."""


def through_web(port: int, targets: Sequence[str]) -> dict[str, str]:
    """Ask for each of ``targets`` by GET, and by what a careless server answers in a tunnel."""
    seen = {}
    for target in targets:
        get = f"GET http://{target}/latest HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
        seen[f"GET {target}"] = raw_http(port, get)[:200]
        plain = b"GET /latest HTTP/1.0\r\n\r\n"
        seen[f"CONNECT {target}"] = tunnelled(port, target, plain)
    return seen


def tunnelled(port: int, target: str, data: bytes) -> str:
    """What comes back to ``data`` through a tunnel to ``target``, the proxy's own reply first."""
    connect = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
    return raw_http(port, connect, then=data)[:200]


def must_work(port: int) -> None:
    """Find out that there is a way to the web: where there is none, no attack on it says anything.

    Raises:
        ValueError: there is none.
    """
    request = f"GET http://{ALLOWED}/ HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n".encode()
    answer = raw_http(port, request)
    if not answer.startswith("HTTP/1.1 200"):
        raise ValueError(f"the host that is allowed cannot be reached: {answer[:300]!r}")


def leaked(seen: Mapping[str, str]) -> bool:
    """Whether something answered that must not be reached."""
    return any("canary" in text for text in seen.values())


def smuggler(word: str) -> bytes:
    """A whole request that should never arrive, marked with ``word``."""
    head = f"POST /{word}/chat HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{keyed()}"
    return f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()


def reported(port: int, word: str) -> list[str]:
    """Requests at the provider that mention ``word``, by its own books.

    Raises:
        ValueError: it could not be asked.
    """
    request = chat_request(f"report {word}", path="/openai/v1/chat/completions")
    answer = raw_http(port, request)
    _, _, body = answer.partition("\r\n\r\n")
    try:
        start, end = body.index("{"), body.rindex("}")
        said = json.loads(body[start : end + 1])["choices"][0]["message"]["content"]
        lines = json.loads(said)
    except (ValueError, LookupError) as error:
        raise ValueError(f"the provider's books could not be read: {answer[:300]!r}") from error
    return [str(line) for line in lines]


def grow(take: Callable[[], object], most: int) -> tuple[int, int]:
    """Repeat ``take`` in a child, keeping what it returns: how often it worked, how it ended.

    The end is a wait status: 0, or the signal of whoever stopped it. A child that makes no way any
    more is stopped: at its memory limit the kernel may try for long to find what it can free.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("1000")  # where memory ends, it is the child that goes
        kept = []
        with contextlib.suppress(OSError, MemoryError):
            for _ in range(most):
                kept.append(take())
                os.write(writer, b".")
        os._exit(0)
    os.close(writer)
    count = 0
    while select.select([reader], [], [], _NO_WAY_S)[0]:
        piece = os.read(reader, 65536)
        if not piece:
            break
        count += len(piece)
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    return count, os.waitpid(child, 0)[1]


def say(answer: Found) -> None:
    """Print ``answer`` as the agent's answer."""
    sys.stdout.write(json.dumps({"output": answer}) + "\n")
    sys.stdout.flush()


def serve(attacks: Mapping[str, AttackFunction]) -> None:
    """Read cases and make the attack that each names. Several of them: each in a process apart."""
    for line in sys.stdin:
        given = json.loads(line)["input"]
        function = attacks[given["attack"]]
        answer = function(given) if len(attacks) == 1 else _apart(function, given)
        if answer is not None:
            say(answer)


def _apart(function: AttackFunction, given: Given) -> Found:
    """Run one attack in a child, so that nothing of it is left for the next one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        answer = function(given)
        os.write(writer, json.dumps(answer).encode() + b"\n")
        os._exit(0)
    os.close(writer)
    text = b""
    # To the newline and not to the end: what it leaves behind keeps the pipe open.
    while not text.endswith(b"\n") and select.select([reader], [], [], _ALONE_WITHIN_S)[0]:
        piece = os.read(reader, 65536)
        if not piece:
            break
        text += piece
    with contextlib.suppress(OSError):  # gone, or another user's by now
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reader)
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    return answer or {"broke": None, "evidence": {"ended": status}}
