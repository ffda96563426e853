"""Writes ``docs/attack-suite.md`` from the catalogue: ``python -m pacabench.audit.document``."""

import sys
from collections.abc import Iterator

from pacabench.audit.attack import Attack, Group
from pacabench.audit.catalogue import CATALOGUE

_HEAD = """\
# The attack suite

`pacabench doctor --audit` makes every attack below on *your* engine, and says of each whether it
was held. The programs are in the package (`pacabench/audit/attacks/`): small agents, run as agents
are run, in a lane with the hardened profile, with the sidecar and a virtual key. After each one a
harmless case is run in the same lane: it has to be answered, metered, with a key of its own, and
to find nothing left behind.

**Every attack has a control.** The same program is run where the protection is taken away ("works
without" below), and has to succeed there. Where it does not, its failure in the sandbox proves
nothing, and the row says `UNPROVEN`; the audit then fails as it does for a `BROKEN` one, because
what was not shown to hold is not held. A control's container that the engine
fails to start is tried once more. Where a control would endanger the machine, something bounded
stands in, and is named.

| a row says | meaning |
|---|---|
| held | the attack failed, its control worked, and the next case was unaffected |
| BROKEN | the attack did what it must not, or the next case was affected: do what the row says |
| UNPROVEN | neither is known: the control did not work here, or the program could not tell |
| not applicable | this kernel or engine has not got what is attacked; the row says what |

The audit sends no packet beyond the engine's machine: "the internet" is a container that owns its
addresses, "the host" one that listens on a port of the host's that the kernel chooses, for as long
as the audit takes. All that it makes carries the labels of a run, is gone at its end, and is swept
by `pacabench clean` and by the next run if it was killed.

The result of a whole audit is kept in `$XDG_STATE_HOME/pacabench/audits` (`~/.local/state/...`),
by engine, its version, the version of PacaBench and the profile. Manifests and exports of later
runs there say `audit: {at, held, broken, unproven}`; null where it was never made.

`--profile compat` attacks that profile in place of `strict`: all of it has to hold there, too.
`--profile unsafe` shows what that one gives up: what takes root, a capability, a system call that
is not filtered or a writable root is BROKEN there by design.
`vm` is not audited, as its attacks would meet another kernel than their controls; the probe before
each run is what looks at it.

What the suite cannot show: bugs of the kernel that nobody has a program for, side channels, and
what agents tell a provider in their prompts.
"""
_GROUPS = {
    Group.NETWORK: "Network and proxy",
    Group.PRIVILEGE: "Privilege",
    Group.RESOURCES: "Resources",
    Group.FILES: "Output and files",
    Group.INTEGRITY: "Integrity",
}


def render_document() -> str:
    """The whole page."""
    parts = [_HEAD]
    for group, title in _GROUPS.items():
        attacks = [attack for attack in CATALOGUE if attack.group is group]
        if attacks:
            parts.append("\n".join(_section(title, attacks)))
    return "\n".join(parts)


def _section(title: str, attacks: list[Attack]) -> Iterator[str]:
    yield f"## {title} ({len(attacks)})\n"
    yield "| attack | what is tried | when the protection holds | works without |"
    yield "|---|---|---|---|"
    for attack in attacks:
        without = attack.control.text
        if attack.control.stand_in:
            without += f" (stand-in: {attack.control.stand_in})"
        cells = (f"`{attack.id}`", attack.tried, attack.expected, without)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(render_document())
