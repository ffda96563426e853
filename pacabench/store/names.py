"""Names of runs and of the files in them. Nothing that an agent or a data set chose gets in raw."""

import hashlib
import re
import secrets
import unicodedata
from datetime import UTC, datetime

from pacabench.errors import UsageError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ATTEMPT_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
_SLUG_CHARS = 40


def new_run_id(name: str) -> str:
    """``<slug of name>-<UTC time>-<4 hex digits>``."""
    return f"{_slug(name) or 'run'}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _slug(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name)[:_SLUG_CHARS].strip("-")


def check_run_id(run_id: str) -> str:
    """``run_id`` as it is, if it can name a directory, a container and a label everywhere.

    Raises:
        UsageError: it cannot.
    """
    if _RUN_ID.fullmatch(run_id) is None:
        raise UsageError(
            f"{run_id!r} cannot be a run id: use 1 to 100 letters, digits, dots, dashes and "
            "underscores, with a letter or digit first."
        )
    return run_id


def log_name(attempt_id: str) -> str:
    """The file below ``logs/`` for what an attempt's agent wrote besides its answer.

    Raises:
        ValueError: ``attempt_id`` was not made by :func:`~pacabench.model.new_attempt_id`.
    """
    if _ATTEMPT_ID.fullmatch(attempt_id) is None:
        raise ValueError(f"no attempt id: {attempt_id!r}")
    return f"{attempt_id}.log"


def left_name(attempt_id: str) -> str:
    """The file below ``left/`` for what an attempt's agent left in its work directory.

    Raises:
        ValueError: as :func:`log_name`.
    """
    return log_name(attempt_id).removesuffix(".log") + ".tar"


def service_log_name(agent: str, service: str) -> str:
    """The file below ``logs/`` for what an agent's service wrote."""
    whole = f"{agent}\0{service}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(whole, digest_size=4).hexdigest()
    return f"service-{_slug(service) or 'unnamed'}-{digest}.log"
