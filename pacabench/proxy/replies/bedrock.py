"""Bedrock's replies, written.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import orjson

from pacabench.proxy.replies.completion import Completion, Tokens


def converse_usage(tokens: Tokens) -> dict[str, int]:
    """Input is what is neither read from nor written to a cache; the total has all of it."""
    return {
        "inputTokens": tokens.prompt - tokens.cached - tokens.cache_write,
        "outputTokens": tokens.completion,
        "totalTokens": tokens.prompt + tokens.completion,
        "cacheReadInputTokens": tokens.cached,
        "cacheWriteInputTokens": tokens.cache_write,
    }


def converse_body(reply: Completion) -> bytes:
    """A reply of Converse."""
    message = {"role": "assistant", "content": [{"text": reply.text}]}
    return orjson.dumps(
        {
            "output": {"message": message},
            "stopReason": "max_tokens" if reply.is_cut else "end_turn",
            "usage": converse_usage(reply.tokens),
            "metrics": {"latencyMs": 1},
        }
    )
