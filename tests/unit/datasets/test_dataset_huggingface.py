"""Data sets of a hub, by its real client, from one on this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, open_hub, parquet

from pacabench.datasets import huggingface
from pacabench.datasets.base import Dataset
from pacabench.datasets.case_files import read_files
from pacabench.errors import DatasetError

Open = Callable[..., Dataset]
NAME = "org/set"
TRAIN = [{"input": "t", "expected": "1"}]
TEST = [{"input": "a", "expected": "1"}, {"input": "b", "expected": "2"}]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with open_hub() as opened:
        yield opened


@pytest.fixture
def load(hub: FakeHub, open_set: Open) -> Open:
    def read(name: str = NAME, **keys: Any) -> Dataset:
        environ = {"HF_ENDPOINT": hub.url, **keys.pop("environ", {})}
        return open_set(f"huggingface:{name}", environ=environ, **keys)

    return read


def inputs(dataset: Dataset) -> list[object]:
    return [case.input for case in dataset.cases]


def shards(**splits: list[dict[str, Any]]) -> dict[str, bytes]:
    files = {"README.md": b"", ".gitattributes": b""}
    for split, rows in splits.items():
        half = (len(rows) + 1) // 2
        for number, part in enumerate((rows[:half], rows[half:])):
            if part:
                files[f"data/{split}-0000{number}-of-00002.parquet"] = parquet(part)
    return files


class TestSplits:
    def test_by_the_names_of_files(self, hub: FakeHub, load: Open) -> None:
        commit = hub.push(NAME, shards(train=TRAIN, test=TEST))
        dataset = load(split="test")
        assert (inputs(dataset), dataset.revision) == (["a", "b"], commit)
        assert dataset.cases[1].where == "data/test-00001-of-00002.parquet:row 1"
        assert not any("train" in path for _, path, _ in hub.asked if "/resolve/" in path)

    def test_one_has_to_be_said_where_there_are_several(self, hub: FakeHub, load: Open) -> None:
        hub.push(NAME, shards(train=TRAIN, test=TEST))
        with pytest.raises(DatasetError, match="say with `split` which of: test, train"):
            load()
        with pytest.raises(DatasetError, match="no files of split 'dev'; there are: test, train"):
            load(split="dev")

    def test_by_what_the_card_says(self, hub: FakeHub, load: Open) -> None:
        files = {"a/questions.jsonl": b'{"input": 1}\n', "b/questions.jsonl": b'{"input": 2}\n'}
        hub.push(NAME, files)
        hub.cards[NAME] = {
            "configs": [
                {
                    "config_name": "one",
                    "data_files": [{"split": "validation", "path": "a/*.jsonl"}],
                },
                {"config_name": "two", "data_files": {"test": ["b/*.jsonl"]}},
            ]
        }
        assert inputs(load(config="one", split="validation")) == [1]
        assert inputs(load(config="two")) == [2]
        with pytest.raises(DatasetError, match="say with `config` which of: one, two"):
            load(split="test")
        with pytest.raises(DatasetError, match="has no split 'test'; there are: validation"):
            load(config="one", split="test")

    def test_folders_are_configurations(self, hub: FakeHub, load: Open) -> None:
        hub.push(NAME, {"en/test.jsonl": b'{"input": 1}\n', "fr/test.jsonl": b'{"input": 2}\n'})
        assert inputs(load(config="fr", split="test")) == [2]
        with pytest.raises(DatasetError, match="say with `config` which of: en, fr"):
            load(split="test")

    def test_one_file_with_a_column_for_it(self, hub: FakeHub, load: Open) -> None:
        lines = b'{"input": 1, "split": "dev"}\n{"input": 2, "split": "test"}\n'
        hub.push(NAME, {"all.jsonl": lines})
        assert inputs(load(split="test")) == [2]

    def test_what_the_hub_converted_stands_in_for_other_formats(
        self, hub: FakeHub, load: Open
    ) -> None:
        hub.push(NAME, {"loader.py": b"", "data.zip": b""})
        with pytest.raises(DatasetError, match="no files in a format that is read"):
            load(split="test")
        files = {"default/test/0000.parquet": parquet(TEST)}
        commit = hub.push(NAME, files, branch="refs/convert/parquet")
        dataset = load(split="test")
        assert (inputs(dataset), dataset.revision) == (["a", "b"], commit)
        assert inputs(load(split="test", revision=commit)) == ["a", "b"]


class TestPinning:
    def test_a_branch_moves_and_a_pinned_commit_does_not(self, hub: FakeHub, load: Open) -> None:
        first = hub.push(NAME, shards(test=TRAIN))
        assert inputs(load(split="test")) == ["t"]
        hub.push(NAME, shards(test=TEST))
        assert inputs(load(split="test")) == ["a", "b"]
        assert inputs(load(split="test", revision=first)) == ["t"]
        assert inputs(load(f"{NAME}@{first}", split="test")) == ["t"]

    def test_what_was_fetched_serves_where_the_hub_is_away(self, hub: FakeHub, load: Open) -> None:
        commit = hub.push(NAME, shards(test=TEST))
        load(split="test")
        hub.commits.clear()  # the pinned commit asks for nothing at all
        hub.asked.clear()
        assert inputs(load(split="test", revision=commit)) == ["a", "b"]
        assert not hub.asked

    def test_and_says_so(self, open_set: Open) -> None:
        with open_hub() as hub:
            commit = hub.push(NAME, shards(test=TEST))
            environ = {"HF_ENDPOINT": hub.url}
            open_set(f"huggingface:{NAME}", split="test", environ=environ)
        dataset = open_set(f"huggingface:{NAME}", split="test", environ=environ)
        assert inputs(dataset) == ["a", "b"]
        assert f"commit {commit[:12]} of the cache is used" in dataset.notices[0]
        with pytest.raises(DatasetError, match="the hub cannot be reached"):
            open_set("huggingface:org/other", environ=environ)

    def test_a_download_that_was_cut_off_goes_on(self, hub: FakeHub, load: Open) -> None:
        rows = b'{"input": "' + b"x" * (23 * 1024**2) + b'"}\n'
        hub.push(NAME, {"test.jsonl": rows})
        hub.cut_after = 15 * 1024**2
        dataset = load(split="test")
        assert dataset.cases[0].input == "x" * (23 * 1024**2)
        ranges = [asked for method, _, asked in hub.asked if method == "GET" and asked]
        assert ranges == [f"bytes={10 * 1024**2}-"]  # the client keeps whole chunks


class TestAccess:
    def test_the_token_is_sent_and_one_that_is_missing_is_named(
        self, hub: FakeHub, load: Open
    ) -> None:
        hub.token = "hf_right"
        hub.push(NAME, shards(test=TEST))
        with pytest.raises(DatasetError, match="it takes a token: set HF_TOKEN"):
            load(split="test")
        with pytest.raises(DatasetError, match="the token in HF_TOKEN may not") as caught:
            load(split="test", environ={"HF_TOKEN": "hf_wrong"})
        assert "hf_wrong" not in str(caught.value)
        assert inputs(load(split="test", environ={"HF_TOKEN": "hf_right"})) == ["a", "b"]

    def test_what_is_not_there_is_named(self, hub: FakeHub, load: Open) -> None:
        hub.push(NAME, shards(test=TEST))
        with pytest.raises(DatasetError, match="there is no such data set"):
            load("org/other")
        with pytest.raises(DatasetError, match="has no revision nope"):
            load(f"{NAME}@nope")
        with pytest.raises(DatasetError, match="must be huggingface:ORG/NAME"):
            load("set")

    def test_without_the_package_it_says_what_to_install(
        self, load: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(huggingface.importlib, "import_module", missing)
        with pytest.raises(DatasetError, match=r"pip install 'pacabench\[hf\]'"):
            load()


def test_the_cache_lies_below_the_run_cache(hub: FakeHub, load: Open, tmp_path: Path) -> None:
    hub.push(NAME, shards(test=TEST))
    load(split="test")
    assert list((tmp_path / "cache" / "huggingface").rglob("*.parquet"))


class TestFiles:
    ROWS = b'{"input": 1, "f": "a.png"}\n{"input": 2, "f": null}\n'

    def test_of_cases_are_fetched_one_by_one(self, hub: FakeHub, load: Open) -> None:
        files = {"test.jsonl": self.ROWS, "images/a.png": b"png", "images/b.png": b"other"}
        hub.push(NAME, files)
        first, second = load(files={"columns": ["f"], "directory": "images"}).cases
        assert read_files(first) == {"a.png": b"png"}
        assert second.files == ()
        assert not any(path.endswith("b.png") for _, path, _ in hub.asked)

    @pytest.mark.parametrize("directory", [".", "images"])
    def test_that_are_not_there_make_the_row_bad(
        self, hub: FakeHub, load: Open, directory: str
    ) -> None:
        hub.push(NAME, {"test.jsonl": self.ROWS})
        with pytest.raises(DatasetError, match="column 'f': there is no file"):
            load(files={"columns": ["f"], "directory": directory})

    def test_outside_of_their_directory_are_refused(self, hub: FakeHub, load: Open) -> None:
        rows = b'{"input": 1, "f": "../secret"}\n'
        hub.push(NAME, {"test.jsonl": rows, "secret": b"s", "images/a": b""})
        with pytest.raises(DatasetError, match=r"leads out of `files\.directory`"):
            load(files={"columns": ["f"], "directory": "images"})
