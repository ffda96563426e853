"""``json_match``: the answer as JSON."""

import asyncio
import json
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from pacabench.config.evaluators import JsonMatchConfig
from pacabench.evaluators.decimals import from_json
from pacabench.evaluators.json_compare import Comparison
from pacabench.evaluators.matching import MAX_CHARACTERS
from pacabench.evaluators.text import bad_case, is_empty, text_of, verdict
from pacabench.model import JSON, Case, Evaluation

if TYPE_CHECKING:
    from pacabench.evaluators.json_schema import SchemaCheck

_FENCE = "```"


class JsonMatch:
    """Compares values and not their spelling: ``1.0`` is 1, and the order of keys is none."""

    def __init__(self, config: JsonMatchConfig) -> None:
        self._config = config
        self._schema = _schema_check(config.json_schema)
        self._comparison = Comparison(
            subset=config.mode == "subset",
            tolerance=from_json(config.tolerance),
            ignore_order=config.ignore_order,
            ignore_case=config.ignore_case,
        )

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        if self._config.mode != "schema" and is_empty(_expected(case.expected)):
            raise bad_case(case, "`expected` is empty; name its column in input_map.expected")

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        return await asyncio.to_thread(self._judge, case.expected, output)

    def _judge(self, expected: JSON, output: JSON) -> Evaluation:
        shown = text_of(output)
        if shown is None:
            return verdict(False, reason="no output that can be compared")
        if len(shown) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        try:
            answer = json_in(output) if isinstance(output, str) else output
        except ValueError as error:
            return verdict(False, reason=f"the answer is no JSON: {error}", output=shown)
        wanted = _expected(expected)
        difference = self._difference(wanted, answer)
        if difference is None:
            return verdict(True, output=shown)
        return verdict(False, reason=difference, output=shown, expected=text_of(wanted))

    def _difference(self, wanted: JSON, answer: JSON) -> str | None:
        """Why ``answer`` does not pass; None where it does."""
        problem = self._schema.problem(answer) if self._schema is not None else None
        if problem is not None:
            return f"does not fit the schema: {problem}"
        return (
            None if self._config.mode == "schema" else self._comparison.difference(wanted, answer)
        )


def _expected(expected: JSON) -> JSON:
    """Text that is JSON stands for what it says: a table's cells are always text."""
    if not isinstance(expected, str):
        return expected
    try:
        return json_in(expected)
    except ValueError:
        return expected


def json_in(text: str) -> JSON:
    """The JSON value that ``text`` is, or else the one that its last fenced block is.

    Raises:
        ValueError: it is no JSON. NaN, a key that stands twice (which of the values is meant?),
            and nesting beyond what a journal can hold are none.
    """
    bare = text.strip()
    pieces = bare.split(_FENCE)
    if len(pieces) < 3:  # noqa: PLR2004 - before, inside, after
        return _value(bare)
    try:
        return _value(bare)  # a fence may stand in a string of it
    except ValueError:
        return _value(_fenced(bare, pieces))


def _fenced(text: str, pieces: list[str]) -> str:
    """The last fenced block of ``text``, which the fences part into ``pieces``."""
    block = _block_of_lines(text)
    if block is not None:
        return block
    inside = pieces[-2] if len(pieces) % 2 else pieces[-1]
    first, line_end, rest = inside.partition("\n")
    named = line_end and (first.strip().isalnum() or not first.strip())
    return rest if named else inside


def _block_of_lines(text: str) -> str | None:
    """The last block whose fences begin lines; None where they do not come in pairs.

    A fence within a line ends no block: it stands in a string of the JSON.
    """
    block: str | None = None
    inside: list[str] | None = None
    for line in text.splitlines():
        bare = line.strip()
        if inside is None:
            begins, _, rest = bare.partition(_FENCE)
            if rest.endswith(_FENCE) and not begins:
                block = rest.removesuffix(_FENCE)
            elif bare.startswith(_FENCE):
                inside = []
        elif bare == _FENCE:
            block, inside = "\n".join(inside), None
        else:
            inside.append(line)
    return block if inside is None else None


def _value(text: str) -> JSON:
    try:
        orjson.loads(text)  # bounds the nesting
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _no_duplicates(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands twice")
        found[key] = value
    return found


def _schema_check(schema: dict[str, Any] | None) -> "SchemaCheck | None":
    if schema is None:
        return None
    from pacabench.evaluators.json_schema import SchemaCheck  # noqa: PLC0415 - slow

    return SchemaCheck(schema)
