"""What Python's ``logging`` is told to do: readable text on stderr, or one JSON object per line."""

import logging
import sys

from pacabench.cli.options import LogFormat
from pacabench.report.printable import printable


def configure_logs(log_format: LogFormat) -> None:
    """Send warnings of ours and of the libraries to stderr, in ``log_format``."""
    json_lines = log_format is LogFormat.JSON
    handler = logging.StreamHandler(_CurrentStderr())
    handler.setFormatter(_json_formatter() if json_lines else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pacabench").setLevel(logging.INFO if json_lines else logging.WARNING)
    logging.raiseExceptions = False  # a closed terminal must not end a run


def _json_formatter() -> logging.Formatter:
    from pacabench.cli.json_logs import json_formatter  # noqa: PLC0415 - slow, and seldom wanted

    return json_formatter()


class _CurrentStderr:
    """Whatever ``sys.stderr`` is at the time: live progress puts itself in between."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Text(logging.Formatter):
    """Level and message on a line, and the lines of a traceback; control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        lines = [f"{record.levelname.lower()}: {record.getMessage()}", *trace.splitlines()]
        return "\n".join(printable(line) for line in lines)
