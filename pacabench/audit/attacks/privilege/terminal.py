"""Types into the harness's terminal by TIOCSTI. There must be none to type into."""

import contextlib
import fcntl
import os
import termios

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_PLACES = ("/dev/tty", "/dev/console", "/dev/pts/0")


def attack(given: Given) -> Found:
    """See above."""
    with contextlib.ExitStack() as stack:
        if given.get("own_terminal"):
            _make_terminal(stack)
        handles = {"stdin": 0, "stdout": 1, "stderr": 2}
        opened = {}
        for path in _PLACES:
            opened[path] = outcome(lambda p=path: handles.update({p: _open(stack, p)}))  # type: ignore[misc]
        terminals = [name for name, handle in handles.items() if os.isatty(handle)]
        typed = {
            name: outcome(lambda h=handles[name]: _type(h))  # type: ignore[misc]
            for name in terminals
        }
    return found(bool(terminals), opened=opened, terminals=terminals, typed=typed)


def _open(stack: contextlib.ExitStack, path: str) -> int:
    handle = os.open(path, os.O_RDWR | os.O_NOCTTY)
    stack.callback(os.close, handle)
    return handle


def _type(handle: int) -> None:
    fcntl.ioctl(handle, termios.TIOCSTI, b"x")


def _make_terminal(stack: contextlib.ExitStack) -> None:
    """The control's: a terminal as stdin for a while."""
    kept, (near, far) = os.dup(0), os.openpty()
    os.dup2(far, 0)
    for handle in (near, far, kept):
        stack.callback(os.close, handle)
    stack.callback(os.dup2, kept, 0)
