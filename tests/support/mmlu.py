"""MMLU's development set: real questions, with the chains of thought that are published for them.

``mmlu_dev.jsonl`` has 281 of the 285 questions of the set's ``dev`` split (Hendrycks et al.,
"Measuring Massive Multitask Language Understanding", 2021; MIT), each with the worked answer that
Flan's prompts give to it (Chung et al., 2022; Apache 2.0), as the LM Evaluation Harness (MIT) has
them. Left out are those without such an answer, or with one that is no option.
"""

import json
import re
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("mmlu_dev.jsonl")
ROWS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
EVALUATOR = {"type": "multiple_choice", "choices": "choices", "expected_is": "letter"}
# The harness's own filters for these prompts: `strict-match` and `flexible-extract`.
STRICT = re.compile(
    r"(?<=The answer is )(.*)(?=.)|(?<=answer is )(.*)(?=.)"
    r"|(?<=The answer: )(.*)(?=.)|(?<=The final answer: )(.*)(?=.)"
)
FLEXIBLE = re.compile(r"(\([A-Z]\))")
