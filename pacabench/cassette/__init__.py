"""Recorded LLM calls on disk: written while a benchmark runs, and answering when it is run again.

``layout`` is what a cassette's directory looks like, ``index`` and ``blobs`` its two parts;
``recorder`` writes one, ``player`` answers out of one. ``docs/replay.md`` is the contract.
"""

from pacabench.cassette.halves import of_judge
from pacabench.cassette.layout import Header, open_cassette, read_header, start_cassette
from pacabench.cassette.player import Player
from pacabench.cassette.recorder import Recorder, index_digest
from pacabench.cassette.shelf import Shelf

__all__ = [
    "Header",
    "Player",
    "Recorder",
    "Shelf",
    "index_digest",
    "of_judge",
    "open_cassette",
    "read_header",
    "start_cassette",
]
