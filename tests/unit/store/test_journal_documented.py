"""The recipe for checking a line in docs/journal.md is one that works."""

import re
import zlib
from pathlib import Path

from pacabench.store.lines import seal

PAGE = Path(__file__).parents[3] / "docs" / "journal.md"


def test_the_recipe_tells_whole_lines_from_others() -> None:
    recipe = re.search(r"    import zlib\n    whole = (.*)\n", PAGE.read_text("utf-8"))
    assert recipe is not None
    line = seal("result", b'{"a":1}', 12)
    assert eval(recipe[1], {"zlib": zlib, "line": line})
    assert not eval(recipe[1], {"zlib": zlib, "line": line.replace(b"12", b"13")})
