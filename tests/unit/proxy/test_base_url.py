"""A provider's base URL as people write it."""

import pytest

from pacabench.proxy.base_url import normalise_base_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        (" https://API.openai.com/v1 ", "https://api.openai.com/v1"),
        ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://api.example.test/beta", "https://api.example.test/beta"),
        ("https://api.openai.com:443/v1", "https://api.openai.com:443/v1"),
    ],
)
def test_the_path_is_added_only_where_there_is_none(given: str, used: str) -> None:
    assert normalise_base_url(given) == used


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "has to begin with http"),
        ("api.openai.com/v1", "has to begin with http"),
        ("localhost:8000", "has to begin with http"),
        ("ftp://x/v1", "has to begin with http"),
        ("file:///etc/passwd", "has to begin with http"),
        ("https://", "names no host"),
        ("https:///v1", "names no host"),
        ("https://user:sk-1@x/v1", "must not hold a user name or key"),
        ("https://@x/v1", "must not hold a user name or key"),
        ("https://x/v1?api-version=1", "must not have a query"),
        ("https://x/v1#top", "must not have a query or a fragment"),
        ("https://x/v1?", "must not have a query"),
        ("https://x:port/v1", "is no URL"),
        ("https://x:99999/v1", "is no URL"),
        ("https://[::1/v1", "is no URL"),
        ("https://x/v 1", "white space"),
        ("https://x/v\n1", "white space|is no URL"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(given: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        normalise_base_url(given)


def test_a_key_in_the_url_is_not_repeated_in_the_message() -> None:
    with pytest.raises(ValueError, match="api_key_env") as caught:
        normalise_base_url("https://user:sk-secret@x/v1")
    assert "sk-secret" not in str(caught.value)
