"""Our signature against botocore's own."""

from datetime import UTC, datetime
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from pacabench.proxy.keys import presented_keys, without_key
from pacabench.proxy.sigv4 import Credentials, signed_headers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def of_boto(credentials: Credentials, url: str, body: bytes) -> str:
    request = AWSRequest("POST", url, data=body)
    boto = BotoCredentials(
        credentials.access_key_id, credentials.secret_key, credentials.session_token
    )
    signer = botocore.auth.SigV4Auth(boto, "bedrock", credentials.region)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=NOW):
        signer.add_auth(request)
    return request.headers["Authorization"]


@given(
    st.sampled_from(["anthropic.claude-x-v1%3A0", "amazon.nova-lite-v1", "a%3Ab"]),
    st.binary(max_size=200),
    TEXT,
    st.none() | TEXT,
    st.sampled_from(["https://bedrock-runtime.eu-west-1.amazonaws.com", "http://127.0.0.1:9000"]),
)
def test_it_is_the_one_that_botocore_makes(
    model: str, body: bytes, secret: str, token: str | None, origin: str
) -> None:
    credentials = Credentials("AKIDEXAMPLE", secret, "eu-west-1", token)
    url = f"{origin}/model/{model}/converse"
    ours = signed_headers(credentials, "POST", URL(url, encoded=True), body, now=NOW)
    assert ours["Authorization"] == of_boto(credentials, url, body)


def test_secrets_are_in_no_representation() -> None:
    text = repr(Credentials("AKID", "very-secret", "r", "token-secret"))
    assert "secret" not in text.replace("secret_key", "")


class TestPresentedKeys:
    @pytest.mark.parametrize(
        ("headers", "query", "keys"),
        [
            ({"Authorization": "Bearer k"}, {}, ["k"]),
            ({"Authorization": "bearer  k "}, {}, ["k"]),
            ({"Authorization": "Basic k"}, {}, []),
            ({"Authorization": "k"}, {}, []),
            ({"x-api-key": "k"}, {}, ["k"]),
            ({"api-key": "k"}, {}, ["k"]),
            ({"x-goog-api-key": "k"}, {"key": "other"}, ["k", "other"]),
            ({"Authorization": "AWS4-HMAC-SHA256 Credential=k/2026/r/bedrock/x, S=1"}, {}, ["k"]),
            ({}, {}, []),
        ],
    )
    def test_they_are_found_wherever_an_sdk_puts_them(
        self, headers: dict[str, str], query: dict[str, str], keys: list[str]
    ) -> None:
        assert list(presented_keys(headers, query)) == keys

    def test_none_is_written_down(self) -> None:
        assert without_key("/v1/x?key=secret&alt=sse") == "/v1/x?key=[key]&alt=sse"
        assert without_key("/v1/x?alt=sse&key=secret") == "/v1/x?alt=sse&key=[key]"
        assert without_key("/v1/x?monkey=1") == "/v1/x?monkey=1"
