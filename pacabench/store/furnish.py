"""What stands in a run's directory from its beginning, and the copies of its configuration."""

import os
from pathlib import Path

from pacabench.durable import sync_directory
from pacabench.store.files import read_regular, replace_file, write_new
from pacabench.store.manifest import Manifest, encode_manifest
from pacabench.store.reader import CALLS, EGRESS, RESULTS

_CONFIG = "config.yaml"
_LARGEST_CONFIG_BYTES = 64 * 1024**2


def furnish(draft: Path, manifest: Manifest, config_text: str) -> None:
    """Put everything into the new directory ``draft``, durably.

    Raises:
        JournalError, OSError: the disk does not take it.
    """
    for folder in ("logs", "spool"):
        (draft / folder).mkdir()
    for journal in (RESULTS, CALLS, EGRESS):
        write_new(draft / journal, b"")
    write_new(draft / _CONFIG, _encoded(config_text))
    write_new(draft / "run.json", encode_manifest(manifest))
    sync_directory(draft)


def replace_config(run_dir: Path, config_text: str) -> None:
    """Keep another configuration as ``config.yaml``; the one before stays beside it, numbered.

    Raises:
        JournalError: it cannot be written; what was there stands.
    """
    path, content = run_dir / _CONFIG, _encoded(config_text)
    before = read_regular(path, _LARGEST_CONFIG_BYTES)
    if before == content:
        return
    number = 1
    while os.path.lexists(kept := run_dir / f"config.{number}.yaml"):
        number += 1
    write_new(kept, before)
    replace_file(path, content)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
