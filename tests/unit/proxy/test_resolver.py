"""Which addresses of a provider's name are taken."""

import asyncio

import pytest

from pacabench.proxy.resolver import CheckedResolver


class Names:
    """A name server that says what it is told to, each time the next thing."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str) -> list[str]:
        return self.answers.pop(0)


async def addresses(answer: list[str], *, private: bool) -> list[str]:
    host = "api.example.com"
    resolver = CheckedResolver([host] if private else [], inner=Names(answer))
    return list(await resolver.addresses(host))


PRIVATE = ["10.1.2.3", "192.168.0.9", "172.16.0.1", "127.0.0.1", "::1", "fd12::1", "100.64.0.1"]
NEVER = [
    "169.254.169.254",
    "169.254.1.1",
    "168.63.129.16",
    "100.100.100.200",
    "0.0.0.0",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
]


@pytest.mark.parametrize("private", [True, False])
async def test_public_addresses_are_taken(private: bool) -> None:
    both = ["93.184.216.34", "2606:2800:220:1::1"]
    assert await addresses(both, private=private) == both


@pytest.mark.parametrize("address", PRIVATE)
async def test_private_ones_only_where_the_base_url_gives_reason(address: str) -> None:
    assert await addresses([address], private=True) == [address]
    with pytest.raises(OSError, match=rf"api\.example\.com has the address {address}, which is"):
        await addresses([address], private=False)


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("address", NEVER)
async def test_link_local_ones_and_metadata_never(address: str, private: bool) -> None:
    with pytest.raises(OSError, match="has the address"):
        await addresses([address], private=private)


async def test_one_bad_address_among_good_ones_spoils_them_all() -> None:
    with pytest.raises(OSError, match="private"):
        await addresses(["93.184.216.34", "10.0.0.1"], private=False)


class Slow:
    """A name server that is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()

    async def __call__(self, host: str) -> list[str]:
        self.asked += 1
        await self.answer.wait()
        return ["93.184.216.34", "93.184.216.35"]


async def test_calls_at_once_ask_once_and_one_that_is_cut_takes_no_answer_from_the_others() -> None:
    server = Slow()
    resolver = CheckedResolver([], inner=server)
    asking = [asyncio.create_task(resolver.addresses("api.example.com")) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    server.answer.set()
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(got[0], asyncio.CancelledError)
    assert [len(found) for found in got[1:]] == [2, 2]
    begun = [(await resolver.addresses("api.example.com"))[0] for _ in range(4)]
    assert len(set(begun)) == 2
    assert server.asked == 1
