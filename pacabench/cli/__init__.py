"""The command line. One file per group of commands.

Importing this package is cheap; :func:`main` imports the commands.
"""

import sys

from pacabench.memory import building


def main() -> None:
    """Run the ``pacabench`` command and exit with its code."""
    with building():
        from pacabench.cli.app import app  # noqa: PLC0415 - see above: takes a tenth of a second
        from pacabench.cli.exit import end_output, prepare_output, run_guarded  # noqa: PLC0415

    prepare_output()
    code = run_guarded(app)
    end_output()
    sys.exit(code)
