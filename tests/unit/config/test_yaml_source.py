"""The YAML reader: values, lines, and limits that no file gets past."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacabench.config.load import load_config
from pacabench.config.scalars import resolve_scalar
from pacabench.config.yaml_source import MAX_BYTES, MAX_DEPTH, YamlError, parse_yaml
from pacabench.errors import ConfigError


class TestScalars:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("", None),
            ("~", None),
            ("null", None),
            ("NULL", None),
            ("true", True),
            ("Yes", True),
            ("OFF", False),
            ("tRUE", "tRUE"),
            ("1", 1),
            ("-17", -17),
            ("+3", 3),
            ("010", 10),
            ("1_000", 1000),
            ("1__0", "1__0"),
            ("0x10", 16),
            ("0o17", 15),
            ("1.5", 1.5),
            (".5", 0.5),
            ("1.", 1.0),
            ("1e3", 1000.0),
            ("-.inf", float("-inf")),
            ("1:30", "1:30"),
            ("2024-01-01", "2024-01-01"),
            ("1.2.3", "1.2.3"),
            ("y", "y"),
            ("9" * 41, "9" * 41),
        ],
    )
    def test_a_plain_word_means_what_people_expect(self, text: str, value: object) -> None:
        resolved = resolve_scalar(text)
        assert resolved == value
        assert type(resolved) is type(value)


class TestValues:
    def test_reads_mappings_lists_and_scalars(self) -> None:
        source = parse_yaml(b"a: 1\nb:\n  - x\n  - 'yes'\nc: {d: yes}\n")
        assert source.value == {"a": 1, "b": ["x", "yes"], "c": {"d": True}}

    def test_keys_are_text_as_written(self) -> None:
        assert parse_yaml(b"1: a\nyes: b\n~: c").value == {"1": "a", "yes": "b", "~": "c"}

    def test_an_empty_file_is_an_empty_mapping(self) -> None:
        assert parse_yaml(b"").value == {}
        assert parse_yaml(b"# only a comment\n").value == {}

    def test_takes_a_byte_order_mark_and_crlf(self) -> None:
        assert parse_yaml(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").value == {"a": 1, "b": 2}

    def test_every_key_has_its_line(self) -> None:
        source = parse_yaml(b"a: 1\nb:\n  - c: 2\n    d: >\n      text\n")
        lines = {path: mark.line for path, mark in source.marks.items()}
        assert lines[("a",)] == 1
        assert lines[("b",)] == 2
        assert lines[("b", 0, "c")] == 3
        assert lines[("b", 0, "d")] == 4

    def test_an_unquoted_scalar_keeps_its_text(self) -> None:
        marks = parse_yaml(b"a: 080\nb: '080'\n").marks
        assert marks[("a",)].text == "080"
        assert marks[("b",)].text is None

    def test_duplicate_keys_are_reported_with_both_lines(self) -> None:
        source = parse_yaml(b"a: 1\nb: {c: 1, c: 2}\na: 3\n")
        assert source.duplicates == [(("b", "c"), 2, 2), (("a",), 3, 1)]
        assert source.value["a"] == 1


class TestAliases:
    def test_an_alias_stands_for_its_anchor(self) -> None:
        assert parse_yaml(b"a: &x {k: 1}\nb: *x\n").value == {"a": {"k": 1}, "b": {"k": 1}}

    def test_merge_fills_what_is_missing_and_the_first_source_wins(self) -> None:
        text = b"a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\n"
        assert parse_yaml(text).value["c"] == {"x": 3, "y": 1, "z": 2}

    def test_merge_goes_through_merges(self) -> None:
        text = b"a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n"
        assert parse_yaml(text).value["c"] == {"x": 1, "y": 2}

    @pytest.mark.parametrize("text", [b"a: &a [*a]", b"a: *b", b"a: &a {b: {<<: *a}}"])
    def test_an_alias_to_itself_or_to_nothing_is_an_error(self, text: bytes) -> None:
        with pytest.raises(YamlError, match="stands before the end"):
            parse_yaml(text)

    @pytest.mark.parametrize(
        "level",
        [b"a%d: &a%d [*a%d, *a%d, *a%d, *a%d]", b"a%d: &a%d {<<: [*a%d, *a%d, *a%d, *a%d]}"],
    )
    def test_an_alias_bomb_is_refused(self, level: bytes) -> None:
        first = b"a0: &a0 [x, x, x, x]" if b"<<" not in level else b"a0: &a0 {x: 1}"
        lines = [first, *(level % (n, n, *[n - 1] * 4) for n in range(1, 20))]
        with pytest.raises(YamlError, match="more than"):
            parse_yaml(b"\n".join(lines))

    def test_a_wide_merge_of_wide_mappings_is_refused(self) -> None:
        wide = b", ".join(b"k%d: 1" % n for n in range(3000))
        merges = b", ".join([b"*a"] * 3000)
        with pytest.raises(YamlError, match="more than"):
            parse_yaml(b"a: &a {" + wide + b"}\nb: {<<: [" + merges + b"]}\n")


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message", "line"),
        [
            (b"a: !!python/object:os.system x", "tags such as", 1),
            (b"a: 1\nb: !!str 5", "tags such as", 2),
            (b"a: 1\n---\nb: 2", "more than one document", 2),
            (b"a: 1\nb: [1, 2\nc: 3", "not YAML", 3),
            (b"a: 1\n\tb: 2", "not YAML", 2),
            (b"a: 1\nb: \xff", "not UTF-8", 2),
            (b"a: 1\nb: \x00", "control character", 2),
            (b"? [a]\n: 1", "a key must be a word", 1),
            (b"a: {<<: 5}", "takes a mapping", 1),
            (b'a: "\\UFFFFFFFF"', "not YAML", None),
            (b'a: "\\U00110000"', "not YAML", None),
        ],
    )
    def test_what_is_not_taken_is_named_with_its_line(
        self, text: bytes, message: str, line: int | None
    ) -> None:
        with pytest.raises(YamlError, match=message) as caught:
            parse_yaml(text)
        assert caught.value.line == line

    @pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
    def test_deep_nesting_is_refused_before_it_hurts(self, opening: bytes) -> None:
        with pytest.raises(YamlError, match=r"nested more than|not YAML|must be a word"):
            parse_yaml(opening * 100_000)

    def test_nesting_through_aliases_counts(self) -> None:
        half = MAX_DEPTH // 2 + 2
        text = b"a: &a " + b"[" * half + b"]" * half + b"\nb: " + b"[" * half + b"*a" + b"]" * half
        with pytest.raises(YamlError, match="nested more than"):
            parse_yaml(text)

    def test_a_file_past_the_size_limit_is_refused(self) -> None:
        with pytest.raises(YamlError, match="larger than"):
            parse_yaml(b"#" * (MAX_BYTES + 1))


_YAML_PIECES = st.lists(
    st.sampled_from(
        [
            "a", ": ", "- ", "\n", "  ", "{", "}", "[", "]", ", ", "&x ", "*x", "<<", "!!str ",
            "'", '"', "|", ">", "#", "---", "...", "? ", "${A}", "${", "$${", "\t", "\\x", "1",
            "name", "agents", "yes", "null", "\x85", "\ufeff", "%YAML 1.1\n", "@", "`",
        ]
    ),
    max_size=40,
).map("".join)  # fmt: skip


class TestAnyBytes:
    @settings(max_examples=300, deadline=None)
    @given(data=st.one_of(st.binary(max_size=200), _YAML_PIECES.map(str.encode)))
    def test_raise_nothing_but_a_yaml_error(self, data: bytes) -> None:
        try:
            source = parse_yaml(data)
        except YamlError:
            return
        assert () in source.marks or source.value == {}

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.one_of(st.binary(max_size=100), _YAML_PIECES.map(str.encode)))
    def test_raise_nothing_but_a_config_error(self, tmp_path: Path, data: bytes) -> None:
        file = tmp_path / "pacabench.yaml"
        file.write_bytes(data)
        with pytest.raises(ConfigError):
            load_config(file, environ={"A": "1"})

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        section=st.sampled_from(["config", "sandbox", "agents", "datasets", "output", "name"]),
        value=st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(["name", "type", "env", "evaluator", "proxy", "build", "x"]),
                    inner,
                    max_size=3,
                ),
            ),
            max_leaves=8,
        ),
    )
    def test_any_value_in_any_section_is_a_config_or_a_config_error(
        self, tmp_path: Path, section: str, value: Any
    ) -> None:
        base: dict[str, Any] = {
            "name": "x",
            "agents": [{"name": "a", "command": "c"}],
            "datasets": [{"name": "d", "source": "s"}],
        }
        file = tmp_path / "pacabench.yaml"
        file.write_text(json.dumps({**base, section: value}))
        try:
            load_config(file, environ={})
        except ConfigError as error:
            assert str(error)  # noqa: PT017 - both ends are allowed
