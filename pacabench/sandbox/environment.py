"""The variables that an agent starts with, and through which its SDK finds the proxy."""

import secrets
from collections.abc import Mapping

from pacabench.providers import VIRTUAL_KEY


def virtual_key() -> str:
    """A key that opens the proxy for one session and nothing else."""
    return f"sk-pacabench-{secrets.token_urlsafe(24)}"


def agent_variables(env: Mapping[str, str], *, origin: str | None, key: str) -> dict[str, str]:
    """The agent's own ``env`` with ``key`` where it had a real one, and the way to the proxy.

    ``origin`` is the proxy's scheme, host and port; None where the proxy is off.
    """
    own = {name: value.replace(VIRTUAL_KEY, key) for name, value in env.items()}
    if origin is None:
        return own
    return own | {
        "OPENAI_BASE_URL": f"{origin}/v1",
        "OPENAI_API_BASE": f"{origin}/v1",
        "OPENAI_API_KEY": key,
    }
