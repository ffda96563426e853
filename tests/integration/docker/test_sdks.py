"""Every wire format and the real SDKs in a lane: each byte arrives, each token is in the books."""

from dataclasses import replace

import orjson
import pytest
from conformance import ROWS, TEXT, Row, spec_of
from conformance import TOKENS as BILLED
from sdk_calls import ANSWER, CALLS, REQUIREMENTS, program

from pacabench.billing import EMBEDDING_ENDPOINTS
from pacabench.model import CallRecord
from pacabench.proxy.terms import Ask, Ruling, Terms
from pacabench.sandbox.base import Sandbox, SandboxAgent
from pacabench.sandbox.docker.sandbox import open_docker_sandbox
from pacabench.testing import FakeProvider, Reply, Tokens
from pacabench.testing.operations import operation_of
from tests.integration.docker.conftest import Rig, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]  # an image with five SDKs

TOKENS = Tokens(prompt=1200, completion=345, cached=1024)
REAL_KEY = "sk-real-canary-6e2b1a"
ASK = """
import hashlib, http.client
said = []
for path, body, headers in {rows!r}:
    headers |= {{"authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
                 "content-type": "application/json"}}
    lane = http.client.HTTPConnection("127.0.0.1", 8080)
    lane.request("POST", path, json.dumps(body), headers)
    reply, digest = lane.getresponse(), hashlib.sha256()
    while piece := reply.read1():
        digest.update(piece)
    said.append([reply.status, digest.hexdigest()])
    lane.close()
say(said)
"""


def answer(asked: dict) -> Reply:
    """What all are told; smolagents' own agent wants it as a program."""
    text = f"Thought: easy.\n<code>\nfinal_answer({ANSWER!r})\n</code>"
    return Reply(text=text if "<code>" in str(asked) else ANSWER, tokens=TOKENS)


async def said_in(sandbox: Sandbox, agent: SandboxAgent, attempt_id: str, code: str) -> list:
    session = await sandbox.start(agent)
    await session.bind(attempt_id)
    said = await tell(session, code)
    await session.close()
    return said


def expected(row: Row) -> Reply:
    return Reply(text=TEXT, tokens=BILLED, usage=row.variant)


async def test_every_row_of_the_matrix_from_inside_a_lane(rig: Rig) -> None:
    replies = [expected(row) for row in ROWS]
    agent = rig.agent()
    kinds = dict.fromkeys(row.kind for row in ROWS)
    async with FakeProvider(lambda _: replies.pop(0)) as provider:
        specs = [spec_of(kind, provider.origin, REAL_KEY) for kind in kinds]
        code = ASK.format(rows=[(f"/{row.kind}{row.path}", row.body, row.headers) for row in ROWS])
        async with rig.open(agent, providers=specs) as sandbox:
            said = await said_in(sandbox, agent, "matrix", code)
    assert said == [[200, billed.sent_digest] for billed in provider.books]
    calls = rig.calls_of("matrix")
    assert [(call.provider, call.endpoint) for call in calls] == [
        (row.kind, row.endpoint) for row in ROWS
    ]
    for call, row in zip(calls, ROWS, strict=True):
        assert call.usage == row.usage, row.id
    assert {billed.key for billed in provider.books} == {REAL_KEY}


async def test_every_format_is_given_a_limit_of_its_output_in_a_lane(rig: Rig) -> None:
    """Asked with no limit where a budget has to hold; each reply ends at the limit, and says so."""
    without = {"messages", "messages.count_tokens", "countTokens", *EMBEDDING_ENDPOINTS}
    rows = [row for row in ROWS if row.endpoint not in without and row.variant == "usual"]
    reply = Reply(text=TEXT, tokens=Tokens(prompt=9, completion=5000), heeds_limit=True)
    agent = rig.agent()

    async def grant(ask: Ask) -> Ruling:
        return Ruling(ask.call_id, None, ask.output_tokens, 0.0, ask.output_tokens)

    async with FakeProvider(lambda _: reply) as provider:
        kinds = dict.fromkeys(row.kind for row in rows)
        specs = [spec_of(kind, provider.origin, REAL_KEY) for kind in kinds]
        terms = {agent.name: Terms(budgeted=True, default_max_output=100)}
        context = replace(rig.context(agent, providers=specs), terms=terms, on_ask=grant)
        code = ASK.format(rows=[(f"/{row.kind}{row.path}", row.body, row.headers) for row in rows])
        async with open_docker_sandbox(context) as sandbox:
            said = await said_in(sandbox, agent, "limits", code)
    assert [status for status, _ in said] == [200] * len(rows)
    for billed in provider.books:
        operation = operation_of(billed.target)
        assert operation is not None
        assert operation.output_limit(orjson.loads(billed.body)) == 100, billed.target
    calls = rig.calls_of("limits")
    assert [(call.endpoint, call.output_limit, call.is_cut) for call in calls] == [
        (row.endpoint, 100, True) for row in rows
    ]
    assert {call.usage.output_tokens for call in calls} == {100}


async def test_five_sdks_in_lanes_are_counted_to_the_token(rig: Rig) -> None:
    agent = rig.agent(memory="1g")
    wanted = rig.folder / "requirements.txt"
    wanted.write_text("".join(f"{name}=={version}\n" for name, version in REQUIREMENTS.items()))
    agent = replace(agent, requirements=wanted)
    kinds = ("openai", "azure_openai", "anthropic", "gemini")
    async with FakeProvider(answer) as provider:
        specs = [spec_of(kind, provider.origin, REAL_KEY) for kind in kinds]
        async with rig.open(agent, providers=specs) as sandbox:
            for sdk in REQUIREMENTS:
                said = await said_in(sandbox, agent, sdk, program(sdk))
                asked = [call for call in CALLS if call.sdk == sdk]
                assert said == [call.endpoint == "embeddings" or ANSWER for call in asked]
                assert [
                    (call.provider, call.endpoint, call.stream) for call in rig.calls_of(sdk)
                ] == [(call.provider, call.endpoint, call.stream) for call in asked]
    assert_books_are_equal(rig.calls, provider)


def assert_books_are_equal(calls: list[CallRecord], provider: FakeProvider) -> None:
    assert {call.usage_source for call in calls} == {"provider"}
    assert {entry.key for entry in provider.books} == {REAL_KEY}
    assert len(calls) == len(provider.books) == len(CALLS)
    billed, vectors = provider.totals(), sum(call.endpoint == "embeddings" for call in CALLS)
    assert sum(call.usage.total_input_tokens for call in calls) == billed.prompt
    assert billed.prompt == len(CALLS) * TOKENS.prompt
    answers = len(CALLS) - vectors
    assert sum(call.usage.output_tokens for call in calls) == answers * TOKENS.completion
    assert sum(call.usage.cached_tokens or 0 for call in calls) == answers * TOKENS.cached
