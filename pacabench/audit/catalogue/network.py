"""Attacks on the lane: reaching anything but the proxy's port."""

from pacabench.audit.attack import Attack, Control, Group
from pacabench.audit.mutations import ON_BRIDGE, RAW_ON_BRIDGE

_REPORT = "agents that you do not trust must not run on this engine; report it with this table"

NETWORK: tuple[Attack, ...] = (
    Attack(
        id="network.host-listeners",
        group=Group.NETWORK,
        title="Listeners on the host",
        tried="TCP to a listener on the host, by every address of the host and the bridge gateways",
        expected="no address can be reached: the lane has no route",
        remedy=f"the lane leads to the host: {_REPORT}",
        control=Control(ON_BRIDGE),
    ),
    Attack(
        id="network.packet-socket",
        group=Group.NETWORK,
        title="AF_PACKET",
        tried="a raw packet socket, which would see and forge every frame",
        expected="socket() refuses the family",
        remedy="the engine applies neither the seccomp profile nor CapDrop; update it",
        control=Control(RAW_ON_BRIDGE),
    ),
)
