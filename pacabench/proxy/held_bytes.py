"""A bound on the bytes that several calls hold in memory together."""


class HeldBytes:
    """Counts what is held; ``limit_bytes`` is the most of it."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes

    def take(self, size: int) -> bool:
        """Whether ``size`` more bytes may be held; then they count."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """``size`` bytes are held no longer."""
        self._left += size
