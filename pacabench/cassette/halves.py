"""The two halves of an attempt that a cassette holds apart: its agent's calls, and its judges'.

Each is recorded, and replayed, as a whole. So an answer that is replayed can be judged anew, and no
agent can use up an answer that was given to its judge. The judges' half has the attempt's id with a
mark behind the digest of its case.
"""

_MARK = "/judge"


def of_judge(attempt_id: str) -> str:
    """The id of the judges' half of an attempt."""
    digest, dash, rest = attempt_id.partition("-")
    return f"{digest}{_MARK}{dash}{rest}"


def agent_of(attempt_id: str) -> str:
    """The id of the attempt itself."""
    return attempt_id.replace(_MARK, "", 1)


def half_of(attempt_id: str) -> str:
    """What is recorded as a whole: the case's digest, with a mark where it is judges'."""
    return attempt_id.partition("-")[0]


def is_judges(half: str) -> bool:
    """Whether a half, or an attempt's id, is of judges."""
    return _MARK in half


def key_digest_of(half: str) -> str:
    """The digest of the case's key."""
    return half.removesuffix(_MARK)
