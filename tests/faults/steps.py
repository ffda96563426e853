"""Where a run can be stopped for a kill: every step of an attempt, and those around it.

A step is passed once what its name says has happened. Whoever passes it waits until the kill is
done, so that nothing moves meanwhile.
"""

from enum import StrEnum


class Step(StrEnum):
    """A named step. ``entry.py`` says which function it lies before or behind."""

    RUN_MADE = "run directory made"
    SESSION_BEGUN = "session begun"
    MANIFEST_ASIDE = "manifest written, not in place"
    SPOOL_FOUND = "dead sidecar found"
    SPOOL_SAVED = "its spool saved"
    SPOOL_TAKEN = "spool taken over, not removed"
    SIDECAR_READY = "sidecar ready"
    LANE_UP = "lane up"
    CREATE_UNHEARD = "container created, unheard"
    CREATED = "container created"
    STARTED = "container started"
    BOUND = "attempt bound"
    SENT = "case sent"
    AT_PROVIDER = "call at the provider"
    CALL_HEARD = "call heard of"
    CALL_WRITTEN = "call line written"
    ANSWERED = "answer read"
    REMOVED = "container removed"
    UNBOUND = "attempt unbound"
    EVALUATED = "evaluated"
    CALLS_SYNCED = "calls on disk"
    LINE_HALF = "line half written"
    LINE_WRITTEN = "line written"
    BEFORE_FSYNC = "before fsync"
    AFTER_FSYNC = "after fsync"
    REPORTED = "result counted"
    SIDECAR_LEAVES = "sidecar about to be ended"
    REST_REMOVED = "sandbox removed"
    SESSION_ENDING = "session about to end"
    SESSION_ENDED = "session's end noted"


ATTEMPT = (
    Step.CREATED,
    Step.STARTED,
    Step.BOUND,
    Step.SENT,
    Step.AT_PROVIDER,
    Step.CALL_HEARD,
    Step.CALL_WRITTEN,
    Step.ANSWERED,
    Step.REMOVED,
    Step.UNBOUND,
    Step.EVALUATED,
    Step.CALLS_SYNCED,
    Step.LINE_HALF,
    Step.LINE_WRITTEN,
    Step.BEFORE_FSYNC,
    Step.AFTER_FSYNC,
    Step.REPORTED,
)
"""Those that every attempt passes."""
ONLY_DOCKER = frozenset(
    {
        Step.SPOOL_FOUND,
        Step.SPOOL_SAVED,
        Step.SIDECAR_READY,
        Step.LANE_UP,
        Step.CREATE_UNHEARD,
        Step.CREATED,
        Step.SIDECAR_LEAVES,
        Step.REST_REMOVED,
    }
)
OF_THE_AGENT = (
    Step.STARTED,
    Step.BOUND,
    Step.SENT,
    Step.AT_PROVIDER,
    Step.CALL_HEARD,
    Step.CALL_WRITTEN,
    Step.ANSWERED,
)
"""While an attempt's own agent runs."""
RECOVERY = frozenset({Step.SPOOL_FOUND, Step.SPOOL_SAVED, Step.SPOOL_TAKEN})
"""Passed by a session that finds a dead one's sidecar, and the calls it noted."""
OPENING = RECOVERY | {
    Step.MANIFEST_ASIDE,
    Step.SESSION_BEGUN,
    Step.SIDECAR_READY,
    Step.LANE_UP,
}
"""Before a session's first attempt. Lanes come up later too, where one was lost."""
CLOSING = (Step.SIDECAR_LEAVES, Step.REST_REMOVED, Step.SESSION_ENDING, Step.SESSION_ENDED)
"""Behind a session's last attempt."""
