"""Gets a userfaultfd, by which a race in the kernel can be held open at will."""

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall

_USER_MODE_ONLY = 1


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        "any": syscall("userfaultfd", 0)[1],
        "user mode only": syscall("userfaultfd", _USER_MODE_ONLY)[1],
    }
    if all(absent(result) for result in seen.values()):
        return missing("this kernel has no userfaultfd()", made=seen)
    return found("done" in seen.values(), made=seen)
