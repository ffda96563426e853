"""What a provider can do for a request beside answering it: ways out of the agent's sandbox.

``config.proxy.allow_provider_tools`` names what is let through, or an agent's own list in its
place; the proxy refuses the rest.
Standard library only and importing nothing of this package: the configuration checks names with
it, and the sidecar requests.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

ProviderTool = Literal[
    "web_search",
    "web_fetch",
    "code_execution",
    "file_search",
    "mcp",
    "maps",
    "image_generation",
    "remote_urls",
    "files",
    "stored_state",
    "background",
    "containers",
    "cached_content",
    "data_sources",
    "other_tools",
]
PROVIDER_TOOLS: Mapping[ProviderTool, str] = MappingProxyType(
    {
        "web_search": "searches of the web, also by models that search by themselves",
        "web_fetch": "pages that the provider reads for the model",
        "code_execution": "code that runs in the provider's own container",
        "file_search": "stores of documents at the provider",
        "mcp": "MCP servers and connectors that the provider calls",
        "maps": "maps",
        "image_generation": "images that another model makes",
        "remote_urls": "images and files that the provider fetches from a URL or a bucket",
        "files": "files that were uploaded to the provider",
        "stored_state": "conversations, responses and prompts that the provider keeps",
        "background": "answers that are made when nobody waits for them",
        "containers": "containers and skills at the provider",
        "cached_content": "contexts that were stored at the provider",
        "data_sources": "indexes that a deployment is connected to (Azure's `data_sources`)",
        "other_tools": "tools of a kind that the proxy does not know",
    }
)
"""What each name stands for."""

assert PROVIDER_TOOLS.keys() == set(get_args(ProviderTool))
