"""Labels say what is ours, and whose."""

from pacabench.owner import current_owner
from pacabench.sandbox.docker.labels import (
    ROLE,
    RUN,
    SESSION,
    Role,
    RunLabels,
    opaque_name,
    owner_labels,
    read_owner,
)


def test_an_owner_goes_through_labels_unchanged() -> None:
    assert read_owner(owner_labels(current_owner())) == current_owner()


def test_labels_that_are_not_ours_name_no_owner() -> None:
    assert read_owner({}) is None
    assert read_owner({**owner_labels(current_owner()), "pacabench.pid": "x"}) is None


def test_everything_of_a_sandbox_has_its_session_and_only_its() -> None:
    one = RunLabels("r", "/runs/r", current_owner())
    other = RunLabels("r", "/runs/r", current_owner())
    assert one.of(Role.AGENT)[SESSION] == one.of(Role.SIDECAR)[SESSION]
    assert one.of(Role.AGENT)[SESSION] != other.of(Role.AGENT)[SESSION]
    assert one.filters == {"label": [f"{SESSION}={one.session}"]}
    assert one.of(Role.LANE)[ROLE] == "lane"
    assert one.of(Role.LANE)[RUN] == "r"


def test_names_say_nothing_and_are_unique() -> None:
    assert len({opaque_name() for _ in range(100)}) == 100
