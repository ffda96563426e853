"""The real SDKs in a lane, told nothing but their variables: every token is in the books."""

from dataclasses import replace
from importlib.metadata import version

import pytest

from pacabench.proxy.control import ProviderSpec
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.docker.conftest import Rig, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]  # an image with three SDKs

SDKS = ("openai", "anthropic", "google-genai")
TOKENS = Tokens(prompt=1200, completion=345, cached=1024)
REAL_KEY = "sk-real-canary-6e2b1a"
ASK = """
import anthropic, openai
from google import genai

say_ = [{"role": "user", "content": "six times seven?"}]
said = []
client = openai.OpenAI(max_retries=0)
said.append(client.chat.completions.create(model="o", messages=say_).choices[0].message.content)
said.append("".join(chunk.choices[0].delta.content or "" for chunk in
    client.chat.completions.create(model="o", messages=say_, stream=True)))
said.append(client.responses.create(model="o", input="six times seven?").output_text)
client = anthropic.Anthropic(max_retries=0)
said.append(client.messages.create(model="a", max_tokens=9, messages=say_).content[0].text)
with client.messages.stream(model="a", max_tokens=9, messages=say_) as stream:
    said.append(stream.get_final_text())
client = genai.Client()
said.append(client.models.generate_content(model="g", contents="six times seven?").text)
said.append("".join(chunk.text for chunk in
    client.models.generate_content_stream(model="g", contents="six times seven?")))
say(said)
"""


async def test_three_sdks_in_a_lane_are_counted_to_the_token(rig: Rig) -> None:
    agent = rig.agent()
    wanted = rig.folder / "requirements.txt"
    wanted.write_text("".join(f"{name}=={version(name)}\n" for name in SDKS))
    agent = replace(agent, requirements=wanted)
    async with FakeProvider(lambda _: Reply(text="forty two", tokens=TOKENS)) as provider:
        specs = [
            ProviderSpec("openai", "openai", provider.base_url, REAL_KEY),
            ProviderSpec("anthropic", "anthropic", provider.origin, REAL_KEY),
            ProviderSpec("gemini", "gemini", provider.origin, REAL_KEY),
        ]
        async with rig.open(agent, providers=specs) as sandbox:
            session = await sandbox.start(agent)
            await session.bind("one")
            assert await tell(session, ASK) == ["forty two"] * 7
            await session.close()
    calls = rig.calls_of("one")
    assert [call.provider for call in calls] == ["openai"] * 3 + ["anthropic"] * 2 + ["gemini"] * 2
    assert {call.usage_source for call in calls} == {"provider"}
    assert {entry.key for entry in provider.books} == {REAL_KEY}
    billed = provider.totals()
    assert sum(call.usage.total_input_tokens for call in calls) == billed.prompt == 7 * 1200
    assert sum(call.usage.output_tokens for call in calls) == billed.completion == 7 * 345
    assert sum(call.usage.cached_tokens for call in calls) == billed.cached == 7 * 1024
