"""run.json: read back as written, refused when it is not understood."""

import re
from pathlib import Path

import orjson
import pytest

from pacabench.errors import JournalError
from pacabench.model import Outcome
from pacabench.store.manifest import (
    SCHEMA_VERSION,
    Session,
    fingerprint,
    read_manifest,
    utc_now,
    write_manifest,
)
from pacabench.testing.records import fake_manifest


class TestManifest:
    def test_comes_back_as_it_was(self, tmp_path: Path) -> None:
        manifest = fake_manifest(
            outcomes={Outcome.PASSED: 3},
            planned_cases={"a": {"d": 3}},
            sessions=(Session(started=utc_now(), host="h", pid=1, ended="died"),),
            config={"name": "é", "nested": [1, None, {"x": 1.5}]},
        )
        write_manifest(tmp_path, manifest)
        assert read_manifest(tmp_path) == manifest
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]

    def test_a_crash_in_the_writing_leaves_the_old_one(self, tmp_path: Path) -> None:
        write_manifest(tmp_path, fake_manifest(name="old"))
        (tmp_path / ".run.json.new").write_bytes(b'{"half')  # what a kill leaves
        assert read_manifest(tmp_path).name == "old"
        write_manifest(tmp_path, fake_manifest(name="new"))
        assert read_manifest(tmp_path).name == "new"

    def test_of_a_newer_version_says_to_update(self, tmp_path: Path) -> None:
        content = orjson.loads(fake_manifest().model_dump_json())
        content |= {"schema_version": SCHEMA_VERSION + 1, "unheard_of": 1}
        (tmp_path / "run.json").write_bytes(orjson.dumps(content))
        with pytest.raises(JournalError, match="newer PacaBench"):
            read_manifest(tmp_path)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "the whole file"),
            (b"{}", "run_id"),
            (b"[1]", "the whole file"),
            (b"\xff", "whole"),
        ],
    )
    def test_that_is_damaged_is_named(self, tmp_path: Path, content: bytes, why: str) -> None:
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(JournalError, match=rf"run\.json cannot be read \(.*{why}"):
            read_manifest(tmp_path)

    def test_a_flipped_bit_anywhere_is_named(self, tmp_path: Path) -> None:
        write_manifest(tmp_path, fake_manifest(planned_cases={"a": {"d": 3}}))
        whole = (tmp_path / "run.json").read_bytes()
        for place, byte in enumerate(whole):
            for bit in (1, 2, 16, 32, 128):
                flipped = bytes([byte ^ bit])
                (tmp_path / "run.json").write_bytes(whole[:place] + flipped + whole[place + 1 :])
                with pytest.raises(JournalError, match=r"cannot be read|is damaged"):
                    read_manifest(tmp_path)

    def test_without_its_checksum_it_is_read_as_it_is(self, tmp_path: Path) -> None:
        manifest = fake_manifest()
        (tmp_path / "run.json").write_text(manifest.model_dump_json(indent=2) + "\n")
        assert read_manifest(tmp_path) == manifest

    def test_that_is_endless_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        with (tmp_path / "run.json").open("wb") as file:
            file.truncate(2**33)
        with pytest.raises(JournalError, match="larger"):
            read_manifest(tmp_path)


class TestFingerprint:
    def test_does_not_depend_on_the_order_of_keys(self) -> None:
        assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})

    def test_differs_with_any_value(self) -> None:
        assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
        assert re.fullmatch("sha256:[0-9a-f]{64}", fingerprint([]))


def test_times_are_utc_and_sort_as_text() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())
