"""What of a request leads out of the sandbox, in every format, and what does not."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.provider_tools import PROVIDER_TOOLS
from pacabench.proxy.client import Refused
from pacabench.proxy.tools.rules import ToolRules
from pacabench.proxy.tools.search import MAX_DEPTH, refuse_ways_out, ways_out
from pacabench.proxy.tools.tables import ANTHROPIC, BEDROCK, GEMINI, OPENAI

HTTP = "https://example.test/x"
DATA = "data:image/png;base64,aGk="
FORMATS = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI, "bedrock": BEDROCK}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function"}, fields]}


def asked(rules: ToolRules, request: dict[str, Any], model: str | None = None) -> set[str]:
    return {finding.tool for finding in ways_out(rules, request, model)}


OPENAI_ASKS: list[tuple[dict[str, Any], set[str]]] = [
    (tool(type="web_search"), {"web_search"}),
    (tool(type="web_search_preview_2025_03_11"), {"web_search"}),
    (tool(type="web_search_premium"), {"web_search"}),
    (tool(type="browser_search"), {"web_search"}),
    (tool(type="openrouter:web_search"), {"web_search"}),
    (tool(type="visit_website"), {"web_fetch"}),
    (tool(type="file_search", vector_store_ids=["vs_1"]), {"file_search"}),
    (tool(type="document_library"), {"file_search"}),
    (tool(type="code_interpreter", container={"type": "auto"}), {"code_execution"}),
    (tool(type="programmatic_tool_calling"), {"code_execution"}),
    (tool(type="shell"), {"code_execution"}),
    (tool(type="shell", environment={"type": "container_auto"}), {"code_execution"}),
    (tool(type="mcp", server_url=HTTP, server_label="x"), {"mcp"}),
    (tool(type="mcp", connector_id="connector_gmail"), {"mcp"}),
    (tool(type="image_generation"), {"image_generation"}),
    (tool(type="made_tomorrow"), {"other_tools"}),
    (tool(type=["function"]), {"other_tools"}),
    (tool(Type="web_search"), {"web_search"}),
    ({"tools": {"type": "web_search"}}, {"web_search"}),
    ({"TOOLS": [{"type": "web_search"}]}, {"web_search"}),
    ({"tools": ["web_search"]}, {"other_tools"}),
    (tool(type="namespace", tools=[{"type": "mcp"}]), {"mcp"}),
    ({"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]}, {"mcp"}),
    ({"input": [{"type": "tool_search_output", "tools": [{"type": "mcp"}]}]}, {"mcp"}),
    ({"web_search_options": {}}, {"web_search"}),
    ({"search_parameters": {"mode": "on"}}, {"web_search"}),
    ({"search_settings": {}}, {"web_search"}),
    ({"compound_custom": {"tools": {}}}, {"web_search"}),
    ({"plugins": [{"id": "web"}, {"id": "response-healing"}]}, {"web_search"}),
    ({"plugins": [{"id": "new-one"}]}, {"other_tools"}),
    ({"data_sources": [{"type": "azure_search"}]}, {"data_sources"}),
    ({"dataSources": [{"type": "azure_search"}]}, {"data_sources"}),
    ({"previous_response_id": "resp_1"}, {"stored_state"}),
    ({"conversation": "conv_1"}, {"stored_state"}),
    ({"prompt": {"id": "pmpt_1"}}, {"stored_state"}),
    ({"store": True}, {"stored_state"}),
    ({"preset": "mine"}, {"stored_state"}),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, {"stored_state"}),
    ({"input": [{"id": "msg_1"}]}, {"stored_state"}),
    ({"background": True}, {"background"}),
    ({"background_options": {"continuation_id": "x"}}, {"background"}),
    ({"kv_transfer_params": {"remote_host": "10.0.0.1"}}, {"remote_urls"}),
    ({"api_base": HTTP}, {"remote_urls"}),
    ({"base_url": HTTP}, {"remote_urls"}),
    (user({"type": "image_url", "image_url": {"url": HTTP}}), {"remote_urls"}),
    (user({"type": "image_url", "image_url": {"url": f" {HTTP}"}}), {"remote_urls"}),
    (user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}), {"remote_urls"}),
    (user({"type": "image_url", "image_url": {"URL": HTTP}}), {"remote_urls"}),
    (user({"type": "image_url", "image_url": HTTP}), {"remote_urls"}),
    (user({"type": "document_url", "document_url": HTTP}), {"remote_urls"}),
    (user({"type": "video_url", "video_url": {"url": HTTP}}), {"remote_urls"}),
    (user({"type": "input_audio", "input_audio": {"data": HTTP}}), {"remote_urls"}),
    (user({"type": "file", "file": {"file_data": HTTP}}), {"remote_urls"}),
    (user({"type": "file", "file": {"file_id": "file-1"}}), {"files"}),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": HTTP}]}]},
     {"remote_urls"}),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": HTTP}]}]},
     {"remote_urls"}),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
     {"files"}),
    ({"input": [{"type": "function_call_output", "output": [
        {"type": "input_image", "image_url": HTTP}]}]}, {"remote_urls"}),
    ({"input": [{"type": "computer_call_output", "output": {"image_url": HTTP}}]},
     {"remote_urls"}),
    ({"input": [{"type": "web_search_call", "action": {"url": HTTP}}]}, {"web_search"}),
    ({"input": [{"type": "mcp_approval_response", "approve": True}]}, {"mcp"}),
    ({"model": "openai/gpt-5:online"}, {"web_search"}),
    ({"models": ["m", "perplexity/sonar-pro"]}, {"web_search"}),
    ({"model": "gpt-4o-search-preview-2025-03-11"}, {"web_search"}),
    ({"model": "o4-mini-deep-research"}, {"web_search"}),
    ({"model": "groq/compound-mini"}, {"web_search"}),
    ({"model": "compound-beta"}, {"web_search"}),
    ({"model": "@preset/x"}, {"stored_state"}),
    (tool(type="web_search") | {"background": True, "store": False},
     {"web_search", "background"}),
]  # fmt: skip
ANTHROPIC_ASKS: list[tuple[dict[str, Any], set[str]]] = [
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {"web_search"}),
    ({"tools": [{"type": "web_fetch_20260318", "name": "web_fetch"}]}, {"web_fetch"}),
    ({"tools": [{"type": "code_execution_20260521", "name": "x"}]}, {"code_execution"}),
    ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, {"mcp"}),
    ({"tools": [{"type": "advisor_20260301", "model": "m"}]}, {"other_tools"}),
    ({"tools": [{"type": "bash_20250124; web_search"}]}, {"other_tools"}),
    ({"mcp_servers": [{"type": "url", "url": HTTP}]}, {"mcp"}),
    ({"container": {"skills": [{"skill_id": "pdf"}]}}, {"containers"}),
    ({"container": "container_1"}, {"containers"}),
    ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, {"stored_state"}),
    (user({"type": "image", "source": {"type": "url", "url": HTTP}}), {"remote_urls"}),
    (user({"type": "document", "source": {"type": "url", "url": HTTP}}), {"remote_urls"}),
    (user({"type": "document", "source": {"type": "file", "file_id": "f"}}), {"files"}),
    (user({"type": "container_upload", "file_id": "f"}), {"containers"}),
    (user({"type": "tool_result", "content": [
        {"type": "image", "source": {"type": "url", "url": HTTP}}]}), {"remote_urls"}),
    (user({"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {
        "type": "web_search_20250305"}}}), {"web_search"}),
    (user({"type": "web_search_tool_result", "content": [{"url": HTTP}]}), {"web_search"}),
    ({"system": [{"type": "image", "source": {"type": "url", "url": HTTP}}]}, {"remote_urls"}),
]  # fmt: skip
GEMINI_ASKS: list[tuple[dict[str, Any], set[str]]] = [
    ({"tools": [{"googleSearch": {}}]}, {"web_search"}),
    ({"tools": [{"google_search_retrieval": {}}]}, {"web_search"}),
    ({"tools": {"googleSearch": {}}}, {"web_search"}),
    ({"tools": [{"functionDeclarations": [], "urlContext": {}, "codeExecution": {}}]},
     {"web_fetch", "code_execution"}),
    ({"tools": [{"enterpriseWebSearch": {}}, {"googleMaps": {}}]}, {"web_search", "maps"}),
    ({"tools": [{"fileSearch": {}}, {"retrieval": {}}]}, {"file_search"}),
    ({"tools": [{"mcpServers": [{}]}]}, {"mcp"}),
    ({"tools": [{"madeTomorrow": {}}]}, {"other_tools"}),
    ({"cachedContent": "cachedContents/1"}, {"cached_content"}),
    ({"cached_content": "cachedContents/1"}, {"cached_content"}),
    ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/x"}}]}]}, {"remote_urls"}),
    ({"contents": {"parts": {"file_data": {"file_uri": HTTP}}}}, {"remote_urls"}),
    ({"systemInstruction": {"parts": [{"fileData": {"fileUri": HTTP}}]}}, {"remote_urls"}),
    ({"contents": [{"parts": [{"functionResponse": {
        "response": {}, "parts": [{"fileData": {"fileUri": HTTP}}]}}]}]}, {"remote_urls"}),
    ({"requests": [{"content": {"parts": [{"fileData": {"fileUri": HTTP}}]}}]}, {"remote_urls"}),
]  # fmt: skip
S3 = {"s3Location": {"uri": "s3://bucket/x"}}
BEDROCK_ASKS: list[tuple[dict[str, Any], set[str]]] = [
    (user({"image": {"format": "png", "source": S3}}), {"remote_urls"}),
    (user({"document": {"name": "x", "source": S3}}), {"remote_urls"}),
    (user({"video": {"source": S3}}), {"remote_urls"}),
    (user({"toolResult": {"content": [{"image": {"source": S3}}]}}), {"remote_urls"}),
    ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}, {"web_search"}),
    ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_code_interpreter"}}]}},
     {"code_execution"}),
    ({"toolConfig": {"tools": [{"systemTool": {"name": "x"}}]}}, {"other_tools"}),
    ({"toolConfig": {"tools": [{"madeTomorrow": {}}]}}, {"other_tools"}),
    ({"additionalModelRequestFields": {"tools": [{"type": "web_search_20250305"}]}},
     {"web_search"}),
    ({"additionalModelRequestFields": {"mcp_servers": [{"url": HTTP}]}}, {"mcp"}),
]  # fmt: skip
ASKS = [
    (name, request, tools)
    for name, cases in {
        "openai": OPENAI_ASKS,
        "anthropic": ANTHROPIC_ASKS,
        "gemini": GEMINI_ASKS,
        "bedrock": BEDROCK_ASKS,
    }.items()
    for request, tools in cases
]
SCHEMA = {"type": "object", "properties": {"image_url": {"default": HTTP}, "file_id": {}}}
HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("openai", tool(type="function", function={"name": "f", "parameters": SCHEMA})),
    ("openai", tool(type="custom", name="x")),
    ("openai", tool(type="shell", environment={"type": "local"})),
    ("openai", tool(type="computer_use_preview")),
    ("openai", tool(type="tool_search")),
    ("openai", {"tools": None, "store": False, "background": False, "plugins": []}),
    ("openai", {"metadata": {"source_url": HTTP}}),
    ("openai", {"messages": [{"role": "user", "content": HTTP}]}),
    ("openai", user({"type": "text", "text": HTTP})),
    ("openai", user({"type": "image_url", "image_url": {"url": DATA}})),
    ("openai", user({"type": "image_url", "image_url": {"url": DATA.upper()}})),
    ("openai", user({"type": "file", "file": {"file_data": DATA, "file_id": None}})),
    ("openai", {"messages": [{"tool_calls": [{"function": {"arguments": {"url": HTTP}}}]}]}),
    ("openai", {"messages": [{"annotations": [{"url_citation": {"url": HTTP}}]}]}),
    ("openai", {"response_format": {"json_schema": {"schema": SCHEMA}}}),
    ("openai", {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    ("openai", {"input": [{"type": "computer_call_output", "current_url": HTTP,
                           "output": {"image_url": DATA}}]}),
    ("openai", {"input": [{"type": "reasoning", "id": "rs_1"}, {"role": "user"}]}),
    ("openai", {"input": ["a", "b"], "model": "text-embedding-3-small"}),
    ("openai", {"model": "research-preview-7b"}),
    ("anthropic", {"tools": [{"name": "f", "input_schema": SCHEMA}]}),
    ("anthropic", {"tools": [{"type": "custom", "name": "f", "input_schema": SCHEMA}]}),
    ("anthropic", {"tools": [{"type": f"{kind}_20250124"} for kind in
                             ("bash", "text_editor", "computer", "memory", "browser_toolset",
                              "tool_search_tool_bm25")]}),
    ("anthropic", user({"type": "tool_use", "input": {"url": HTTP, "file_id": "x"}})),
    ("anthropic", user({"type": "search_result", "source": HTTP})),
    ("anthropic", user({"type": "image", "source": {"type": "base64", "data": "aGk="}})),
    ("anthropic", user({"type": "text", "citations": [{"url": HTTP}]})),
    ("anthropic", user({"type": "tool_result", "content": [
        {"type": "browser_state", "tabs": [{"url": HTTP}]}]})),
    ("anthropic", {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
    ("gemini", {"tools": [{"functionDeclarations": [{"parameters": SCHEMA}]}]}),
    ("gemini", {"tools": [{"computerUse": {}, "googleSearch": None}]}),
    ("gemini", {"contents": [{"parts": [{"functionCall": {"args": {"url": HTTP}}}]}]}),
    ("gemini", {"contents": [{"parts": [{"inlineData": {"data": "aGk="}}]}]}),
    ("gemini", {"generationConfig": {"responseSchema": SCHEMA}}),
    ("bedrock", {"toolConfig": {"tools": [{"toolSpec": {"inputSchema": {"json": SCHEMA}}},
                                          {"cachePoint": {"type": "default"}}]}}),
    ("bedrock", user({"toolUse": {"input": {"url": HTTP}}})),
    ("bedrock", user({"toolResult": {"content": [{"json": {"uri": HTTP}}]}})),
    ("bedrock", user({"image": {"source": {"bytes": "aGk="}}})),
    ("bedrock", {"additionalModelRequestFields": {"top_k": 9, "thinking": {"type": "enabled"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "request_", "tools"), ASKS)
def test_ways_out_are_found(name: str, request_: dict[str, Any], tools: set[str]) -> None:
    assert asked(FORMATS[name], request_) == tools


@pytest.mark.parametrize(("name", "request_"), HARMLESS)
def test_what_is_the_agents_own_is_not_taken_for_one(name: str, request_: dict[str, Any]) -> None:
    assert asked(FORMATS[name], request_) == set()


def test_the_table_has_every_tool_that_can_be_allowed() -> None:
    assert {tool for _, _, tools in ASKS for tool in tools} == PROVIDER_TOOLS.keys()


def test_a_model_in_the_path_counts() -> None:
    assert asked(GEMINI, {}, "deep-research-pro-preview") == {"web_search"}


class TestRefusal:
    def test_it_says_what_where_and_how_it_is_allowed(self) -> None:
        request = tool(type="web_search") | user({"image_url": HTTP}, {"image_url": HTTP})
        with pytest.raises(Refused) as refusal:
            refuse_ways_out(ways_out(OPENAI, request, None), allowed=())
        assert (refusal.value.status, refusal.value.code) == (403, "provider_tool_denied")
        assert "web_search (tools[1])" in refusal.value.message
        assert "remote_urls (messages[0].content[" in refusal.value.message
        assert refusal.value.message.endswith("allow_provider_tools: [web_search, remote_urls]")

    def test_what_is_allowed_by_name_passes_and_nothing_else(self) -> None:
        request = tool(type="web_search") | {"background": True}
        with pytest.raises(Refused, match=r"allow_provider_tools: \[background\]"):
            refuse_ways_out(ways_out(OPENAI, request, None), allowed={"web_search"})
        refuse_ways_out(ways_out(OPENAI, request, None), allowed={"web_search", "background"})

    def test_the_agents_words_are_cut_and_escaped(self) -> None:
        request = {"\x1b[2J\n" + "é" * 9999: {"url": HTTP}}
        with pytest.raises(Refused) as refusal:
            refuse_ways_out(ways_out(OPENAI, request, None), allowed=())
        assert refusal.value.message.isascii()
        assert len(refusal.value.message) < 500

    @pytest.mark.parametrize("request_", [{"tools": [], "Tools": []}, {"a": {"b_c": 1, "bC": 2}}])
    def test_keys_that_some_take_for_the_same_are_refused(self, request_: dict[str, Any]) -> None:
        with pytest.raises(Refused, match="twice") as refusal:
            refuse_ways_out(ways_out(OPENAI, request_, None), allowed=PROVIDER_TOOLS)
        assert refusal.value.status == 400

    @pytest.mark.parametrize("nest", [lambda it: {"a": it}, lambda it: [it]])
    def test_what_is_nested_deeply_is_refused(self, nest: Any) -> None:
        deep: Any = 1
        for _ in range(MAX_DEPTH + 1):
            deep = nest(deep)
        with pytest.raises(Refused, match="deep"):
            refuse_ways_out(ways_out(OPENAI, {"messages": deep}, None), allowed=())

    def test_so_are_tools_in_tools(self) -> None:
        tools: Any = []
        for _ in range(900):
            tools = [{"type": "namespace", "tools": tools}]
        with pytest.raises(Refused, match="deep"):
            refuse_ways_out(ways_out(OPENAI, {"tools": tools}, None), allowed=())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(HTTP),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["tools", "type", "input", "plugins", "models"]),
            inner,
            max_size=3,
        )
    ),
)


@given(st.sampled_from(sorted(FORMATS)), st.dictionaries(st.text(max_size=9), JSON, max_size=4))
def test_nothing_makes_it_raise_but_a_refusal(name: str, request_: dict[str, Any]) -> None:
    with contextlib.suppress(Refused):
        refuse_ways_out(ways_out(FORMATS[name], request_, None), allowed=())


@given(st.lists(st.text(alphabet="abcxyz", min_size=1, max_size=6), max_size=8))
def test_a_url_is_found_however_deep_it_is(path: list[str]) -> None:
    request: Any = {"image_url": HTTP}
    for key in path:
        request = {key: [request]}
    assert asked(OPENAI, request) == {"remote_urls"}
