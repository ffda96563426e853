"""What a whole audit came to, counted."""

from collections import Counter
from collections.abc import Sequence

from pacabench.audit.attack import Status, Verdict
from pacabench.store import utc_now
from pacabench.store.audits import AuditKey, AuditSummary


def summarise_audit(key: AuditKey, engine: str, verdicts: Sequence[Verdict]) -> AuditSummary:
    """Count ``verdicts``."""
    counts = Counter(verdict.status for verdict in verdicts)

    def ids(status: Status) -> tuple[str, ...]:
        return tuple(item.attack.id for item in verdicts if item.status is status)

    return AuditSummary(
        key=key,
        engine=engine,
        at=utc_now(),
        held=counts[Status.HELD],
        broken=ids(Status.BROKEN),
        unproven=ids(Status.UNPROVEN),
        not_applicable=ids(Status.NOT_APPLICABLE),
    )
