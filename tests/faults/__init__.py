"""Fault injection: real runs, with SIGKILL at every named step and at random, then ``resume``.

``soak.py`` is the command, ``episode.py`` how one run is treated, ``invariants.py`` what must hold
afterwards. ``docs/reliability.md`` says what is promised and shows a report.
"""
