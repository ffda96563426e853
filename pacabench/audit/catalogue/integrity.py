"""Attacks on what results say: keys, expected answers, usage, whose answer counts."""

from pacabench.audit import leaks
from pacabench.audit.attack import Attack, Control, Group, Mutation, noted
from pacabench.audit.drives import claims, late, left
from pacabench.audit.mutations import IN_WAN

_HARNESS = "a defect of PacaBench: report it with this table"
_BELIEVES = "a reader that believes what it is told, for the same output of a real container"


def _search(name: str, title: str, tried: str, leak: Mutation | None) -> Attack:
    return Attack(
        id=f"integrity.search-{name}",
        group=Group.INTEGRITY,
        title=title,
        tried=f"looking for the real key and for the expected answer in {tried}",
        expected="neither is there",
        remedy=f"a key or an expected answer reaches agents: {_HARNESS}",
        control=Control(leak)
        if leak is not None
        else Control(
            drive=claims.search_careless_image,
            removed="what is left out of images: the project is copied whole",
        ),
        drive=claims.search_image if leak is None else None,
        program="integrity/search.py",
        given={"place": name},
    )


INTEGRITY: tuple[Attack, ...] = (
    _search(
        "files",
        "Answers and keys in files",
        "every file, packages aside, of an image made of a project with data, runs, .env and .git",
        None,
    ),
    _search(
        "environment",
        "Answers and keys in the environment",
        "the environment of every process",
        leaks.IN_ENVIRONMENT,
    ),
    _search(
        "processes",
        "Answers and keys in /proc",
        "command lines, mounts, maps, cgroups and sockets",
        leaks.IN_ARGUMENTS,
    ),
    _search(
        "names",
        "Answers and keys in names",
        "the host's name, its hosts file and resolver, the directories",
        leaks.IN_HOSTNAME,
    ),
    Attack(
        id="integrity.other-prompt",
        group=Group.INTEGRITY,
        title="Another case's prompt",
        tried="leaving a case's prompt in files, names, sockets, shared memory and a process",
        expected="the next case in the same lane finds nothing of it",
        remedy=f"one case sees another's: {_HARNESS}",
        control=Control(drive=left.found_in_the_same_container, removed=left.KEPT_CONTAINER),
        drive=left.found_by_the_next,
        given={"kinds": ["files", "abstract", "segments", "words"], "form": "canary-prompt-"},
    ),
    Attack(
        id="integrity.planted-result",
        group=Group.INTEGRITY,
        title="A planted result file",
        tried="writing passed results and rewards where harnesses look for them, answering wrong",
        expected="the answer is judged here, and stays wrong",
        remedy=f"an agent can write its own result: {_HARNESS}",
        control=Control(
            drive=claims.result_files,
            removed="judging in the harness: results are files where the agent ran",
        ),
        judge=noted,
        drive=claims.one_case(claims.is_wrong),
    ),
    Attack(
        id="integrity.forged-verdict",
        group=Group.INTEGRITY,
        title="A verdict in the answer",
        tried="a wrong answer with passed, score, outcome and expected beside it",
        expected="the answer stays wrong",
        remedy=f"an agent can judge itself: {_HARNESS}",
        control=Control(
            drive=claims.believed(lambda message: message.get("passed") is True),
            removed="the answer's own fields: an object is taken as the result",
            stand_in=_BELIEVES,
        ),
        judge=noted,
        drive=claims.one_case(claims.is_wrong, expected="another"),
        program="integrity/answers.py",
        given={"way": "verdict"},
    ),
    Attack(
        id="integrity.forged-usage",
        group=Group.INTEGRITY,
        title="Usage in the answer",
        tried="asking the model, and answering with a usage of zero",
        expected="the call is in the books with the provider's tokens",
        remedy=f"an agent can deny its calls: {_HARNESS}",
        control=Control(
            drive=claims.believed(
                lambda message: (message.get("usage") or {}).get("total_tokens") == 0
            ),
            removed="the proxy's books: the usage is what the agent says",
            stand_in=_BELIEVES,
        ),
        judge=noted,
        drive=claims.one_case(claims.is_metered),
        program="integrity/answers.py",
        given={"way": "usage"},
    ),
    Attack(
        id="integrity.forged-headers",
        group=Group.INTEGRITY,
        title="Usage and attempt in headers",
        tried="calls with headers and fields that name another attempt and a usage of zero",
        expected="each reply is in the books of its own attempt, with the provider's tokens",
        remedy=f"an agent can have its calls booked elsewhere: {_HARNESS}",
        control=Control(IN_WAN),
        judge=claims.every_reply_booked,
    ),
    Attack(
        id="integrity.calls-after",
        group=Group.INTEGRITY,
        title="Calls after the answer",
        tried="a worker that answers and goes on asking the model between its cases",
        expected="calls are refused until the next case, and every one that was served is booked",
        remedy=f"an agent can use the key when no case is run: {_HARNESS}",
        control=Control(
            drive=claims.calls_unnoticed,
            removed="the end of the attempt's key with the attempt",
        ),
        judge=noted,
        drive=claims.calls_after,
    ),
    Attack(
        id="integrity.two-answers",
        group=Group.INTEGRITY,
        title="Two answers",
        tried="a worker that answers each case three times with one write",
        expected="the first answer counts, the others meet no case",
        remedy=f"a second answer is taken for another case's: {_HARNESS}",
        control=Control(drive=late.twice_to_a_naive_worker, removed=late.NAIVE_WORKER),
        judge=noted,
        drive=late.twice,
        program="integrity/answers.py",
        given={"way": "twice"},
    ),
    Attack(
        id="integrity.answer-after",
        group=Group.INTEGRITY,
        title="An answer after the answer",
        tried="a worker that answers a case once more while the next one is under way",
        expected="an answer with another case's id is no answer to this one",
        remedy=f"a stray answer is taken for another case's: {_HARNESS}",
        control=Control(
            drive=late.twice_to_a_naive_worker, removed="the look at an answer's case id"
        ),
        judge=noted,
        drive=late.twice,
        program="integrity/answers.py",
        given={"way": "stray"},
    ),
    Attack(
        id="integrity.other-id",
        group=Group.INTEGRITY,
        title="Another case's id",
        tried="an answer that says it is for another case, before the own one",
        expected="it is nobody's; the own answer counts",
        remedy=f"an agent can answer another case: {_HARNESS}",
        control=Control(
            drive=claims.believed(lambda message: message.get("output") == "stolen"),
            removed="the look at an answer's case id",
            stand_in=_BELIEVES,
        ),
        judge=noted,
        drive=claims.one_case(claims.is_right),
        program="integrity/answers.py",
        given={"way": "other-id"},
    ),
)
