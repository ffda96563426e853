"""The control channel's lines."""

import pytest

from pacabench.model import FailedTry, Usage
from pacabench.proxy import control, lane
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.exchange import Asked, Keeping
from pacabench.proxy.patience import Patience
from pacabench.testing import fake_call
from pacabench.testing.records import fake_egress, fake_result

MESSAGES = [
    control.Configure(
        [control.ProviderSpec("openai", "openai", "https://x/v1", "sk-1", [{"reply": "a"}])],
        "openai",
        Patience(silence_s=3.0),
        live_waits=True,
    ),
    control.Configure([], "openai", refused=["192.0.2.1"]),
    control.Configure(
        [control.ProviderSpec("openai", "openai", sealed=True)],
        "openai",
        keeping=Keeping(whole=False, most_bytes=7),
        replay=control.ReplayRules([["messages", "0"]], 2.0),
    ),
    control.Taped("cGFjYQ=="),
    control.LeftOut("call-1", "too long"),
    control.Find(3, Asked("attempt", "ab", "POST /openai/x", "m", {"/a": "12"})),
    control.Answer(3, "cGFjYQ==", live=False, why=""),
    control.Bind(1, "lane", "attempt", "key"),
    control.Bind(1, "lane", "attempt", "key", ["*.example.org:443"]),
    control.Egress(fake_egress(fake_result(), detail="x\ny").egress),
    control.Unbind(2, "lane"),
    control.Shutdown(),
    control.Ready("1.0"),
    control.LaneUp("lane"),
    control.LaneDown("lane"),
    control.Done(3, "no lane"),
    control.Call(fake_call(usage=Usage(1, 2, 3, 4, 5), raw_usage={"a": 1})),
    control.Call(fake_call(usage=None, failed_tries=(FailedTry(429, "slow down", 12.5),))),
    control.Text(CallText("call-1", "who?", 4, "caf\u00e9", 4, turns=1)),
    control.Waited("attempt", True, 12.5),
    control.Health("openai", "down", "HTTP status 503"),
    control.Notice("warning", "line\nbreak"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_way(message: control.Message) -> None:
    line = control.encode(message)
    assert line.count(b"\n") == 1
    assert control.decode(line) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"type":"Bind"}',
        b'{"type":"Nope"}',
        b'{"type":"Done","seq":1,"more":2}',
        b'{"type":"Call","record":{}}',
        b'{"type":"Egress","record":{}}',
        b'{"type":"Configure","providers":3,"default":"x"}',
    ],
)
def test_what_is_no_message_is_an_error(line: bytes) -> None:
    with pytest.raises(control.ControlError, match="not a control message"):
        control.decode(line)


def test_a_key_does_not_show_in_what_is_printed() -> None:
    assert "sk-1" not in repr(MESSAGES[0])


def test_both_ends_agree_on_where_lanes_are_brought() -> None:
    assert control.LANE_SOCKET == lane.LANE_SOCKET
    assert control.LANE_PORT == lane.LANE_PORT == 8080
    assert control.WEB_PORT == lane.WEB_PORT == 8081
