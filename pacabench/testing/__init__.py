"""Fakes that ship, for PacaBench's own tests and for those of its users.

:class:`FakeProvider` is a real HTTP server that speaks OpenAI's wire format and keeps books;
:class:`FakeSandbox` plays an :class:`Act` in place of each agent, with no container and no process.
"""

from pacabench.proxy.replies.completion import Tokens
from pacabench.testing.provider import Billed, FakeProvider, Request, provider_in_thread, serve
from pacabench.testing.reply import Reply
from pacabench.testing.sandbox import Act, FakeSandbox, FakeSession, ScriptedAgent, fake_call

__all__ = [
    "Act",
    "Billed",
    "FakeProvider",
    "FakeSandbox",
    "FakeSession",
    "Reply",
    "Request",
    "ScriptedAgent",
    "Tokens",
    "fake_call",
    "provider_in_thread",
    "serve",
]
