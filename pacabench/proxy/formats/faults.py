"""Whose fault it is that a document with status 200 holds an error in place of an answer.

OpenRouter answers 200 with ``{"error": {"code": 502, ...}}``, or says so in a choice; a response of
OpenAI's has ``status: failed``. As with statuses, what passes or is a matter of the account is the
provider's; what the request itself was refused for is the agent's.
Source: https://openrouter.ai/docs/api-reference/errors.
"""

import re
from typing import Any

from pacabench.proxy.formats.parsing import mapping, mappings

PROVIDER_GAVE_UP = frozenset({"server_error", "rate_limit_exceeded"})
"""Codes of a failed response that are not about what was asked."""
_PROVIDERS_CODES = frozenset({401, 402, 408, 425, 429})
_REFUSED = range(400, 500)
_STATUS = re.compile(r"[0-9]{3}")
_REQUESTS = re.compile(
    r"invalid|unsupported|not_found|context_length|too_large|content|policy|safety|moderation"
    r"|failed_precondition|out_of_range"
)
"""In the codes and types of what a request was refused for."""
_NOT_REQUESTS = re.compile(r"api_key|authentication")
_LONGEST_CODE = 256


def gave_up(document: dict[str, Any]) -> bool:
    """Whether the provider failed where ``document`` is all of its reply. Never raises."""
    error = document.get("error")
    if document.get("object") == "response":
        code = mapping(error).get("code")
        failed = document.get("status") == "failed"
        return failed and isinstance(code, str) and code in PROVIDER_GAVE_UP
    if error:
        return not _is_requests(error)
    return any(_choice_failed(choice) for choice in mappings(document.get("choices")))


def _choice_failed(choice: dict[str, Any]) -> bool:
    if error := choice.get("error"):
        return not _is_requests(error)
    return choice.get("finish_reason") == "error"


def _is_requests(error: Any) -> bool:
    """Whether it says that the request was at fault; what says nothing of the kind does not."""
    told = mapping(error)
    for name in ("code", "type", "status"):
        said = told.get(name)
        if isinstance(said, str) and _STATUS.fullmatch(said):
            said = int(said)
        if type(said) is int and said in _REFUSED:
            return said not in _PROVIDERS_CODES
        code = said[:_LONGEST_CODE].lower() if isinstance(said, str) else ""
        if _REQUESTS.search(code) and not _NOT_REQUESTS.search(code):
            return True
    return False
