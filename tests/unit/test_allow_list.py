"""Entries of ``sandbox.egress.allow``: what is one, and what it lets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.allow_list import Rule, find_rule, is_address, normal_host, parse_port, parse_rule

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=2, max_size=5).map(".".join).filter(lambda n: not is_address(n))
PORT = st.integers(1, 65535)


class TestEntries:
    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("example.org:80", Rule("example.org", 80, below=False)),
            ("*.wikipedia.org:443", Rule("wikipedia.org", 443, below=True)),
            ("EXAMPLE.Org.:443", Rule("example.org", 443, below=False)),
            ("xn--bcher-kva.example:443", Rule("xn--bcher-kva.example", 443, below=False)),
        ],
    )
    def test_a_name_or_all_below_one_with_a_port(self, text: str, rule: Rule) -> None:
        assert parse_rule(text) == rule

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("https://example.org", "is a URL"),
            ("example.org/path:443", "is a URL"),
            ("example.org", "names no port"),
            (":443", "names no port"),
            ("example.org:", "no port between"),
            ("example.org:0", "no port between"),
            ("example.org:65536", "no port between"),
            ("example.org:0443", "no port between"),
            ("example.org:+80", "no port between"),
            ("example.org:*", "no port between"),
            ("me@example.org:443", "no host and port"),
            ("exam ple.org:443", "no host and port"),
            ("*:443", "may only stand"),
            ("*.*.org:443", "may only stand"),
            ("a.*.org:443", "may only stand"),
            ("*wikipedia.org:443", "may only stand"),
            ("*.org:443", "a whole domain"),
            ("localhost:443", "no full name"),
            ("example..org:443", "no host name"),
            (".example.org:443", "no host name"),
            ("-a.example.org:443", "no host name"),
            ("example.org..:443", "no host name"),
            ("b\u00fccher.example:443", "no host name"),
            ("127.0.0.1:80", "holds an address"),
            ("127.1:80", "holds an address"),
            ("0x7f.0x1:80", "holds an address"),
            ("*.0.0.1:80", "holds an address"),
            ("[::1]:80", "holds an address"),
            ("::1:80", "holds an address"),
        ],
    )
    def test_anything_else_is_refused_with_what_is_wrong(self, text: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            parse_rule(text)

    @given(NAME, PORT, st.booleans())
    def test_an_entry_is_written_as_it_is_read(self, name: str, port: int, below: bool) -> None:
        rule = Rule(name, port, below)
        assert parse_rule(str(rule)) == rule


class TestMatching:
    WIKIPEDIA = (parse_rule("*.wikipedia.org:443"),)

    @pytest.mark.parametrize("host", ["en.wikipedia.org", "en.m.wikipedia.org"])
    def test_a_wildcard_stands_for_every_name_below(self, host: str) -> None:
        assert find_rule(self.WIKIPEDIA, host, 443) is self.WIKIPEDIA[0]

    @pytest.mark.parametrize(
        "host",
        [
            "wikipedia.org",
            "evilwikipedia.org",
            "wikipedia.org.evil.example",
            "en.wikipedia.org.evil.example",
            "en.wikipedia.com",
            "org",
        ],
    )
    def test_a_wildcard_stands_for_nothing_else(self, host: str) -> None:
        assert find_rule(self.WIKIPEDIA, host, 443) is None

    def test_a_port_is_part_of_an_entry(self) -> None:
        assert find_rule(self.WIKIPEDIA, "en.wikipedia.org", 80) is None

    @given(NAME, LABEL)
    def test_below_and_beside(self, name: str, label: str) -> None:
        below, exact = Rule(name, 443, below=True), Rule(name, 443, below=False)
        assert below.allows(f"{label}.{name}", 443)
        assert not below.allows(f"{label}{name}", 443)
        assert not below.allows(name, 443)
        assert exact.allows(name, 443)
        assert not exact.allows(f"{label}.{name}", 443)
        assert not exact.allows(f"{name}.{label}", 443)


class TestNames:
    @given(st.text(max_size=300))
    def test_what_is_taken_for_a_name_is_one(self, text: str) -> None:
        name = normal_host(text)
        if name is not None:
            assert normal_host(name) == name == name.lower()
            assert name.isascii()
            assert not set(name) & set(" /:@?#[]%\\\r\n\t\0*")
            assert text.lower() in (name, f"{name}.")

    @pytest.mark.parametrize(
        "text",
        ["", ".", "a..b", "a:80", "a/b", "a b", "a%00", "[::1]", "a" * 64, "a." * 127 + "aa"],
    )
    def test_other_texts_are_no_names(self, text: str) -> None:
        assert normal_host(text) is None

    @pytest.mark.parametrize("name", ["127.0.0.1", "2130706433", "0x7f000001", "a.0x7f", "1.0x"])
    def test_what_resolvers_take_for_an_address_is_one(self, name: str) -> None:
        assert is_address(name)

    @pytest.mark.parametrize("name", ["example.org", "1.2.3.4.example", "0x7f.org"])
    def test_digits_in_a_name_do_not_make_an_address(self, name: str) -> None:
        assert not is_address(name)

    def test_a_port_in_other_digits_is_none(self) -> None:
        assert parse_port("\u0664\u0664\u0663") is None
