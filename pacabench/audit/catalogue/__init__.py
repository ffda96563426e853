"""Every attack there is, in the order of the table."""

from collections.abc import Sequence

from pacabench.audit.attack import Attack
from pacabench.audit.catalogue.files import FILES
from pacabench.audit.catalogue.integrity import INTEGRITY
from pacabench.audit.catalogue.network import NETWORK
from pacabench.audit.catalogue.privilege import PRIVILEGE
from pacabench.audit.catalogue.resources import RESOURCES
from pacabench.audit.catalogue.web import WEB
from pacabench.config.problems import nearest
from pacabench.errors import UsageError

CATALOGUE: tuple[Attack, ...] = (*NETWORK, *WEB, *PRIVILEGE, *RESOURCES, *FILES, *INTEGRITY)


def select(ids: Sequence[str]) -> tuple[Attack, ...]:
    """The attacks that ``ids`` name, each by its id or a group by its own; all for none.

    Raises:
        UsageError: there is no such attack; says the nearest one that there is.
    """
    if not ids:
        return CATALOGUE
    known = {attack.id for attack in CATALOGUE} | {attack.group.value for attack in CATALOGUE}
    for name in ids:
        if name not in known:
            close = nearest(name, sorted(known))
            hint = f"did you mean {close!r}?" if close else "see docs/attack-suite.md"
            raise UsageError(f"there is no attack {name!r}; {hint}")
    return tuple(attack for attack in CATALOGUE if {attack.id, attack.group.value} & set(ids))
