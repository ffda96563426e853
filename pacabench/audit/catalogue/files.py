"""Attacks by what is written: in answers, logs and names, and in place of files."""

from pacabench.audit.attack import Attack, Control, Group, noted
from pacabench.audit.drives import outputs, reading
from pacabench.model import Outcome

_HARNESS = "a defect of PacaBench: report it with this table"
_NO_SCRIPT = ""


def _output(name: str, title: str, tried: str, expected: str, check: outputs.Check) -> Attack:
    return Attack(
        id=f"files.{name}",
        group=Group.FILES,
        title=title,
        tried=tried,
        expected=expected,
        remedy=f"hostile output reaches a user or a journal: {_HARNESS}",
        control=Control(
            drive=outputs.naively(name), removed=outputs.NAIVE, stand_in=outputs.STAND_IN
        ),
        judge=noted,
        drive=outputs.in_the_run(check),
        program="files/payload.py",
        given={"payload": name},
        timeout_s=300.0,
    )


def _case_id(name: str, title: str, tried: str, check: outputs.Check) -> Attack:
    return Attack(
        id=f"files.case-id-{name}",
        group=Group.FILES,
        title=title,
        tried=tried,
        expected="it names no file, is shown as plain text, and its case is run as any other",
        remedy=f"a case's id is obeyed: {_HARNESS}",
        control=Control(
            drive=outputs.named_naively(outputs.IDS[name]),
            removed="opaque file names: a file is named after the case",
            stand_in=outputs.STAND_IN,
        ),
        judge=noted,
        drive=outputs.in_the_run(
            outputs.all_of(
                check, outputs.ends_as(outputs.IDS[name], Outcome.PASSED), outputs.journal_is_whole
            )
        ),
        program="files/payload.py",
        timeout_s=300.0,
    )


def _refused(name: str) -> outputs.Check:
    return outputs.all_of(
        outputs.ends_as(name, Outcome.INVALID_OUTPUT),
        outputs.json_is_strict,
        outputs.journal_is_whole,
    )


_LOG = "the line is no answer; it is kept in the log"

FILES: tuple[Attack, ...] = (
    _output(
        "terminal-escapes",
        "Escape sequences",
        "ANSI and OSC sequences, C1, carriage returns, bidirectional overrides in answer and log",
        "terminal, tables and exports show them as text",
        outputs.all_of(outputs.shown_plainly, outputs.ends_as("terminal-escapes", Outcome.FAILED)),
    ),
    _output(
        "markup",
        "Markup",
        "HTML, Markdown and the terminal library's own markup in an answer",
        "exports and tables show it as text",
        outputs.all_of(outputs.no_markup, outputs.ends_as("markup", Outcome.FAILED)),
    ),
    _output(
        "line-separators",
        "Lines in an answer",
        "newlines and every other separator in an answer, with a forged line behind one",
        "the journal has one line for it, and reads back whole",
        outputs.all_of(
            outputs.journal_is_whole,
            outputs.shown_plainly,
            outputs.ends_as("line-separators", Outcome.FAILED),
        ),
    ),
    _output(
        "non-utf8", "No UTF-8", "an answer in bytes that are no UTF-8", _LOG, _refused("non-utf8")
    ),
    _output(
        "nul",
        "NUL",
        "NUL in lines and in an answer",
        "the answer is one, and NUL is shown as text",
        outputs.all_of(outputs.shown_plainly, outputs.ends_as("nul", Outcome.FAILED, "a\0b")),
    ),
    _output(
        "lone-surrogates",
        "Lone surrogates",
        "an answer with halves of characters, which cannot be encoded",
        _LOG,
        _refused("lone-surrogates"),
    ),
    _output("nan", "NaN", "NaN and Infinity in answers", _LOG, _refused("nan")),
    _output(
        "duplicate-keys",
        "Duplicate keys",
        "an answer with `output` three times, the right one in the middle",
        "one value is judged, and that is the one in journal and exports",
        outputs.ends_as("duplicate-keys", Outcome.FAILED, "wrong"),
    ),
    _output(
        "deep-nesting",
        "Deep nesting",
        "an answer of 100,000 nested lists",
        _LOG,
        _refused("deep-nesting"),
    ),
    _output(
        "huge-integers",
        "Huge integers",
        "an answer of 5,000 digits",
        _LOG,
        _refused("huge-integers"),
    ),
    _output(
        "forged-frames",
        "Forged frames",
        "bytes that look like the engine's own frames of output and of an error",
        "they are output like any other, and the answer behind them counts",
        outputs.ends_as("forged-frames", Outcome.PASSED, "true"),
    ),
    _case_id(
        "traversal", "A case id that is a path", "the id ../../../escaped", outputs.stays_inside
    ),
    _case_id("absolute", "An absolute case id", "the id /tmp/...", outputs.stays_inside),
    _case_id("long", "A long case id", "an id of 300 characters", outputs.stays_inside),
    _case_id(
        "control",
        "A case id with control characters",
        "escapes, a newline and NUL in an id",
        outputs.all_of(outputs.stays_inside, outputs.shown_plainly),
    ),
    Attack(
        id="files.agent-names",
        group=Group.FILES,
        title="Agent names",
        tried="a name that is a path and markup; names of 300 and with control characters",
        expected="the first names no file and is shown as text, the others are refused",
        remedy=f"an agent's name is obeyed: {_HARNESS}",
        control=Control(
            drive=outputs.named_naively(*outputs.AGENT_NAMES),
            removed="opaque file names: a file is named after the agent",
            stand_in=outputs.STAND_IN,
        ),
        judge=noted,
        drive=outputs.agent_names,
        program="files/payload.py",
        timeout_s=300.0,
    ),
    Attack(
        id="files.source-symlinks",
        group=Group.FILES,
        title="Links in an agent's source",
        tried="links that lead out of the source to files, folders and themselves",
        expected="they stay out of the image, and so does what they lead to",
        remedy=f"files of the machine get into an agent's image: {_HARNESS}",
        control=Control(
            drive=reading.naive_in_a_folder(reading.followed_source),
            removed="the look where a link leads: links are followed",
        ),
        judge=noted,
        drive=reading.in_a_folder(reading.linked_source),
        program=_NO_SCRIPT,
    ),
    Attack(
        id="files.source-fifo",
        group=Group.FILES,
        title="A FIFO in an agent's source",
        tried="a FIFO that nobody writes to, beside the agent's files",
        expected="it stays out of the image, and nothing waits for it",
        remedy=f"an agent's source can hang a run: {_HARNESS}",
        control=Control(
            drive=reading.naive_in_a_folder(reading.fifo_opened),
            removed="the look what is opened: it is opened",
        ),
        judge=noted,
        drive=reading.in_a_folder(reading.source_with_fifo),
        program=_NO_SCRIPT,
    ),
    Attack(
        id="files.dataset-fifo",
        group=Group.FILES,
        title="A data set that is a FIFO",
        tried="`pacabench run` on a data set that is a FIFO",
        expected="the command says so and ends",
        remedy=f"a data set can hang a run: {_HARNESS}",
        control=Control(
            drive=reading.naive_in_a_folder(reading.fifo_opened),
            removed="the look what is opened: it is opened",
        ),
        judge=noted,
        drive=reading.in_a_folder(reading.odd_data_set(reading.fifo)),
        program=_NO_SCRIPT,
        timeout_s=60.0,
    ),
    Attack(
        id="files.dataset-endless",
        group=Group.FILES,
        title="A data set without an end",
        tried="`pacabench run` on a data set that is a link to /dev/zero",
        expected="the command says so and ends",
        remedy=f"a data set can fill the memory: {_HARNESS}",
        control=Control(
            drive=reading.naive_in_a_folder(reading.device_read),
            removed="the look what is read: it is read",
            stand_in="it stops after 64 MiB",
        ),
        judge=noted,
        drive=reading.in_a_folder(reading.odd_data_set(reading.endless)),
        program=_NO_SCRIPT,
        timeout_s=60.0,
    ),
    Attack(
        id="files.journal-symlink",
        group=Group.FILES,
        title="A journal that is a link",
        tried="`show` and `resume` on a run whose results.jsonl is a link to another file",
        expected="both refuse it, and the other file is as it was",
        remedy=f"a run's directory can make the harness write elsewhere: {_HARNESS}",
        control=Control(
            drive=reading.naive_in_a_folder(reading.appended),
            removed="the look what is opened: links are followed",
        ),
        judge=noted,
        drive=reading.in_a_folder(reading.odd_journal(reading.linked_journal)),
        program=_NO_SCRIPT,
        timeout_s=60.0,
    ),
    Attack(
        id="files.journal-fifo",
        group=Group.FILES,
        title="A journal that is a FIFO",
        tried="`show` and `resume` on a run whose results.jsonl is a FIFO",
        expected="both refuse it and end",
        remedy=f"a run's directory can hang the harness: {_HARNESS}",
        control=Control(
            drive=reading.naive_in_a_folder(reading.fifo_opened),
            removed="the look what is opened: it is opened",
        ),
        judge=noted,
        drive=reading.in_a_folder(reading.odd_journal(reading.fifo_journal)),
        program=_NO_SCRIPT,
        timeout_s=60.0,
    ),
)
