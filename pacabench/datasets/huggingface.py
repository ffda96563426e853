"""``huggingface:ORG/NAME[@revision]``: files of a data set on the hub, pinned to a commit.

Through ``huggingface_hub``, which goes on with downloads that were cut off. Nothing of a data set
is run. ``HF_TOKEN`` and ``HF_ENDPOINT`` hold as everywhere else. Needs ``pacabench[hf]``.
"""

import hashlib
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pacabench.datasets.base import Place, Source, printable
from pacabench.datasets.hub_files import Choice, choose_files, data_files_of
from pacabench.datasets.local import part_of
from pacabench.errors import DatasetError

CONVERTED = "refs/convert/parquet"
"""Where the hub keeps what it made of data sets whose own files are in no format that is read."""
_NAME = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def open_huggingface(text: str, config: str | None, split: str | None, place: Place) -> Source:
    """The files of a split, as of ``place.revision`` or else as of now.

    Where the hub cannot be reached, what was fetched earlier serves, and a notice says so.

    Raises:
        DatasetError: it cannot be fetched, or has no such configuration or split.
    """
    name, _, revision = text.partition("@")
    if not _NAME.fullmatch(name):
        raise DatasetError(f"source huggingface:{printable(text)}: must be huggingface:ORG/NAME")
    return _Hub(name, place).source(place.revision or revision or "main", config, split)


@dataclass(frozen=True, slots=True)
class _Listing:
    """A data set at one commit."""

    commit: str
    files: Sequence[str]
    """Names, as in the repository."""
    card: dict[str, Any]


class _Hub:
    def __init__(self, name: str, place: Place) -> None:
        try:
            self._client: Any = importlib.import_module("huggingface_hub")
            self._errors: Any = importlib.import_module("huggingface_hub.errors")
            tools = importlib.import_module("huggingface_hub.utils")
        except ImportError:
            raise DatasetError(
                "huggingface: needs the package huggingface_hub: pip install 'pacabench[hf]'"
            ) from None
        tools.disable_progress_bars()
        self._name = name
        self._shown = f"huggingface:{name}"
        self._cache = place.cache / "huggingface"
        self._endpoint = place.environ.get("HF_ENDPOINT") or None
        self._token = place.environ.get("HF_TOKEN") or None
        self._notices: list[str] = []

    def source(self, revision: str, config: str | None, split: str | None) -> Source:
        listing = self._listing(revision)
        if not data_files_of(listing.files):
            listing = self._listing(CONVERTED)
        chosen = self._chosen(listing, config, split)
        folder = Path()
        parts = []
        for file in chosen.files:
            local = self._download(file, listing.commit)
            folder = local.parents[len(Path(file).parts) - 1]
            parts.append(part_of(local, folder))
        return Source(
            tuple(parts),
            None if chosen.settled else split,
            revision=listing.commit,
            notices=tuple(self._notices),
            fetch=lambda file: self._attachment(file, listing),
        )

    def _attachment(self, file: str, listing: _Listing) -> Path:
        """A file that a row names, of the same commit."""
        if file not in listing.files:
            raise ValueError(f"there is no file {printable(file)[:80]!r} in {self._shown}")
        return self._download(file, listing.commit)

    def _chosen(self, listing: _Listing, config: str | None, split: str | None) -> Choice:
        try:
            return choose_files(listing.files, listing.card, config, split)
        except ValueError as error:
            raise DatasetError(f"{self._shown}: {printable(str(error))}") from None

    def _listing(self, revision: str) -> _Listing:
        """What the hub says, or else what it said last; kept for when it cannot be reached."""
        text = f"{self._endpoint}\0{self._name}\0{revision}"
        kept = self._cache / "listings" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        if re.fullmatch(r"[0-9a-f]{40}", revision) and kept.exists():
            return _Listing(**orjson.loads(kept.read_bytes()))
        api = self._client.HfApi(endpoint=self._endpoint, token=self._token)
        try:
            info = api.dataset_info(self._name, revision=revision, files_metadata=False)
        except Exception as error:  # noqa: BLE001 - of several HTTP clients; looked at below
            return self._earlier(kept, revision, error)
        card = info.card_data.to_dict() if info.card_data is not None else {}
        listing = _Listing(info.sha, [entry.rfilename for entry in info.siblings or ()], card)
        content = {
            "commit": listing.commit,
            "files": listing.files,
            "card": {"configs": card.get("configs")},
        }
        for path in (kept, kept.with_name(f"{self._by_commit(listing.commit)}.json")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(orjson.dumps(content, default=str))
        return listing

    def _by_commit(self, commit: str) -> str:
        text = f"{self._endpoint}\0{self._name}\0{commit}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _earlier(self, kept: Path, revision: str, error: Exception) -> _Listing:
        self._refuse(revision, error)
        if not kept.exists():
            raise DatasetError(
                f"{self._shown}: the hub cannot be reached: {_said(error)}"
            ) from error
        listing = _Listing(**orjson.loads(kept.read_bytes()))
        self._notices.append(
            f"{self._shown} cannot be reached; commit {listing.commit[:12]} of the cache is used"
        )
        return listing

    def _refuse(self, revision: str, error: Exception) -> None:
        """Raise what the hub said, where it said something."""
        errors = self._errors
        if isinstance(error, errors.GatedRepoError | errors.RepositoryNotFoundError):
            hint = "set HF_TOKEN" if self._token is None else "the token in HF_TOKEN may not"
            raise DatasetError(
                f"{self._shown}: there is no such data set, or it takes a token: {hint}"
            ) from error
        if isinstance(error, errors.RevisionNotFoundError):
            what = f"has no revision {printable(revision)}"
            if revision == CONVERTED:
                what = "has no files in a format that is read, and the hub made none of them"
            raise DatasetError(f"{self._shown}: {what}") from error

    def _download(self, file: str, commit: str) -> Path:
        where = {"repo_type": "dataset", "revision": commit, "cache_dir": self._cache / "hub"}
        try:
            path = self._client.hf_hub_download(
                self._name, file, endpoint=self._endpoint, token=self._token, **where
            )
        except Exception as error:
            self._refuse(commit, error)
            raise DatasetError(
                f"{self._shown}: {printable(file)} cannot be fetched: {_said(error)}"
            ) from error
        return Path(path)


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return printable(lines[0])[:300]
