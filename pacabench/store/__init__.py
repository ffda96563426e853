"""The journal: what a run leaves on disk, who may write it, and how it is read.

``run_store`` is the one writer of a run, ``record`` the reader; ``lines``, ``journal``, ``commit``
and ``reader`` make the files hold whole lines only. ``docs/journal.md`` says what is promised.
"""

from typing import TYPE_CHECKING, Any

from pacabench.store.logs import read_log, without_stderr
from pacabench.store.manifest import (
    AuditRecord,
    BudgetRecord,
    CassetteRecord,
    DecisionRecord,
    LimitsRecord,
    Manifest,
    ProfileRecord,
    ProviderRecord,
    SandboxRecord,
    Selection,
    Session,
    WeaknessRecord,
    fingerprint,
    utc_now,
)
from pacabench.store.names import check_run_id, new_run_id
from pacabench.store.record import (
    BrokenRun,
    RunRecord,
    RunStatus,
    find_run,
    list_runs,
    load_run,
)

if TYPE_CHECKING:
    from pacabench.store.run_store import RunStore

__all__ = [
    "AuditRecord",
    "BrokenRun",
    "BudgetRecord",
    "CassetteRecord",
    "DecisionRecord",
    "LimitsRecord",
    "Manifest",
    "ProfileRecord",
    "ProviderRecord",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "SandboxRecord",
    "Selection",
    "Session",
    "WeaknessRecord",
    "check_run_id",
    "find_run",
    "fingerprint",
    "list_runs",
    "load_run",
    "new_run_id",
    "read_log",
    "utc_now",
    "without_stderr",
]


def __getattr__(name: str) -> Any:
    """Import the writer when somebody asks for it: readers need none of what it stands on."""
    if name == "RunStore":
        from pacabench.store.run_store import RunStore  # noqa: PLC0415 - see above

        return RunStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
