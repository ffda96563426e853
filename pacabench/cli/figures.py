"""Numbers as progress shows them: short, of steady width."""

_THOUSAND = 1000
_MINUTE_S = 60
_HOUR_S = 3600


def short_count(count: int | None) -> str:
    """``999``, ``12.3k``, ``4.56M``: at most six characters up to a trillion; ``-`` is unknown."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("", "k", "M"):
        if value < _THOUSAND:
            return f"{value:.{3 - len(str(int(value)))}f}{unit}" if unit else str(count)
        value /= _THOUSAND
    return f"{value:.2f}G"


def short_duration(seconds: float) -> str:
    """``4.2s``, ``3:07``, ``2:03:07``."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    minutes, rest = divmod(whole, _MINUTE_S)
    if whole < _HOUR_S:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def short_eta(seconds: float | None) -> str:
    """A time that is left, without the false precision of tenths."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    return f"{whole}s" if whole < _MINUTE_S else short_duration(whole)


def short_size(size_bytes: int) -> str:
    """``131 MB``, in powers of ten as Docker shows them."""
    megabytes = size_bytes / 1e6
    return f"{megabytes:.0f} MB" if megabytes < _THOUSAND else f"{megabytes / _THOUSAND:.2f} GB"


def short_age(seconds: float) -> str:
    """``12s ago``, ``5min ago``, ``3h ago``, ``9d ago``."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", _HOUR_S), ("min", _MINUTE_S)):
        if whole >= size:
            return f"{whole // size}{unit} ago"
    return f"{whole}s ago"
