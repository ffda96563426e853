"""What the families of APIs offer beside an answer. Keys and types as ``rules.folded`` gives them.

Tools are held to a list of what the agent runs by itself: one that is not on it is the provider's,
also where nothing is known of it.

Sources: https://platform.openai.com/docs/guides/tools,
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview,
https://ai.google.dev/gemini-api/docs/tools,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://openrouter.ai/docs/features/web-search, https://console.groq.com/docs/compound,
https://docs.mistral.ai/agents/connectors, and the types in the SDKs of the first four.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pacabench.provider_tools import ProviderTool
from pacabench.proxy.formats.parsing import mapping
from pacabench.proxy.tools.rules import Found, ToolRules, by_key, by_type, folded
from pacabench.proxy.tools.search import ways_out

_HOSTED: Mapping[str, ProviderTool] = {
    "websearch": "web_search",
    "browsersearch": "web_search",
    "openrouter:websearch": "web_search",
    "webfetch": "web_fetch",
    "visitwebsite": "web_fetch",
    "browserautomation": "web_fetch",
    "openrouter:webfetch": "web_fetch",
    "codeinterpreter": "code_execution",
    "codeexecution": "code_execution",
    "programmatictoolcalling": "code_execution",
    "shell": "code_execution",
    "filesearch": "file_search",
    "documentlibrary": "file_search",
    "mcp": "mcp",
    "connector": "mcp",
    "imagegeneration": "image_generation",
    "openrouter:imagegeneration": "image_generation",
}
"""Of a tool's ``type``, in OpenAI's format, in those of who speaks it, and in Anthropic's."""

_OPENAI_OWN = re.compile(
    r"function|custom|namespace|tool_search|local_shell|apply_patch"
    r"|computer|computer_use|computer_use_preview"
)
_ANTHROPIC_OWN = re.compile(
    r"custom|((bash|text_editor|computer|memory|computer_toolset|browser_toolset"
    r"|tool_search_tool_regex|tool_search_tool_bm25)(_\d{8})?)"
)
_HARMLESS_PLUGINS = frozenset({"responsehealing", "moderation", "contextcompression"})


def _openai_tool(tool: Mapping[str, Any]) -> Iterable[ProviderTool]:
    environment = tool.get("environment")
    if tool.get("type") == "shell" and mapping(environment).get("type") == "local":
        return ()  # the one shell of several that the agent runs
    return by_type(_OPENAI_OWN, _HOSTED, tool)


def _openai_more(request: Mapping[str, Any]) -> Found:
    """OpenRouter's plugins by their ids, and references to stored items that have no type."""
    plugins = request.get("plugins")
    for index, plugin in enumerate(plugins if isinstance(plugins, list) else ()):
        name = folded(str(plugin.get("id") if isinstance(plugin, dict) else plugin))
        if name not in _HARMLESS_PLUGINS:
            tool: ProviderTool = "web_search" if name == "web" else "other_tools"
            yield tool, f"plugins[{index}]"
    items = request.get("input")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("type") is None and "role" not in item:
            yield "stored_state", f"input[{index}]"


OPENAI = ToolRules(
    judge=_openai_tool,
    top={
        "websearchoptions": "web_search",
        "searchparameters": "web_search",
        "searchsettings": "web_search",
        "enablesearch": "web_search",
        "compoundcustom": "web_search",
        "datasources": "data_sources",
        "previousresponseid": "stored_state",
        "conversation": "stored_state",
        "prompt": "stored_state",
        "preset": "stored_state",
        "store": "stored_state",
        "background": "background",
        "backgroundoptions": "background",
        "kvtransferparams": "remote_urls",
        "apibase": "remote_urls",
    },
    keys={"fileid": "files", "fileids": "files", "comparisonresponseid": "stored_state"},
    types={
        "websearchcall": "web_search",
        "filesearchcall": "file_search",
        "codeinterpretercall": "code_execution",
        "program": "code_execution",
        "imagegenerationcall": "image_generation",
        "mcp": "mcp",
        "itemreference": "stored_state",
    },
    opaque=frozenset(
        {"arguments", "parameters", "schema", "outputschema", "metadata", "annotations"}
        | {"format", "guidedjson", "structuredoutputs"}
    ),
    harmless_urls=frozenset({"currenturl"}),
    more=_openai_more,
    more_keys=frozenset({"plugins", "input"}),
)

ANTHROPIC = ToolRules(
    judge=partial(by_type, _ANTHROPIC_OWN, _HOSTED),
    tools=frozenset({"tools", "definition"}),
    top={"mcpservers": "mcp", "container": "containers", "thread": "stored_state"},
    keys={"fileid": "files", "fileids": "files"},
    types={
        "websearchtoolresult": "web_search",
        "webfetchtoolresult": "web_fetch",
        "codeexecutiontoolresult": "code_execution",
        "bashcodeexecution": "code_execution",
        "texteditorcodeexecution": "code_execution",
        "mcptool": "mcp",
        "containerupload": "containers",
    },
    opaque_types=frozenset({"tooluse", "servertooluse", "browserstate"}),
    opaque=frozenset({"input", "inputschema", "schema", "metadata", "citations"}),
)

_GEMINI_OWN = frozenset({"functiondeclarations", "computeruse"})
_GEMINI_HOSTED: Mapping[str, ProviderTool] = {
    "googlesearch": "web_search",
    "enterprisewebsearch": "web_search",
    "parallelaisearch": "web_search",
    "exaaisearch": "web_search",
    "urlcontext": "web_fetch",
    "codeexecution": "code_execution",
    "filesearch": "file_search",
    "retrieval": "file_search",
    "googlemaps": "maps",
    "mcpservers": "mcp",
}


GEMINI = ToolRules(
    judge=partial(by_key, _GEMINI_OWN, _GEMINI_HOSTED),
    top={"cachedcontent": "cached_content", "store": "stored_state"},
    opaque=frozenset(
        {"args", "response", "responseschema", "responsejsonschema", "labels", "partmetadata"}
    ),
)

_BEDROCK_SYSTEM: Mapping[str, ProviderTool] = {
    "novagrounding": "web_search",
    "novacodeinterpreter": "code_execution",
}
_BEDROCK_OWN = frozenset({"toolspec", "cachepoint", "systemtool"})
_BEDROCK_FIELDS = "additionalmodelrequestfields"


def _bedrock_tool(tool: Mapping[str, Any]) -> Iterable[ProviderTool]:
    system = tool.get("systemtool")
    if system is not None:
        yield _BEDROCK_SYSTEM.get(folded(str(mapping(system).get("name"))), "other_tools")
    yield from by_key(_BEDROCK_OWN, {}, tool)


def _bedrock_more(request: Mapping[str, Any]) -> Found:
    """What is passed on to a model's own API. Of those that have tools it is Anthropic's."""
    fields = mapping(request.get(_BEDROCK_FIELDS))
    for found in ways_out(ANTHROPIC, fields, None):
        yield found.tool, f"additionalModelRequestFields.{found.where}"


BEDROCK = ToolRules(
    judge=_bedrock_tool,
    opaque=frozenset(
        {"inputschema", "input", "json", "requestmetadata", "schema", "citations", _BEDROCK_FIELDS}
    ),
    more=_bedrock_more,
    more_keys=frozenset({_BEDROCK_FIELDS}),
)
