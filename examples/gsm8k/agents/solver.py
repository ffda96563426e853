"""Solves a word problem step by step and ends with `#### NUMBER`, as GSM8K's own answers do."""

import json
import os
import sys

from openai import OpenAI

PROMPT = (
    "Solve the problem step by step. On the last line write #### and the result as a bare number, "
    "for example: #### 42"
)


def solve(client: OpenAI, problem: str) -> str:
    stream = client.chat.completions.create(
        model=os.environ.get("MODEL", "gpt-4o-mini"),
        messages=[{"role": "system", "content": PROMPT}, {"role": "user", "content": problem}],
        temperature=0,
        stream=True,
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def main() -> None:
    client = OpenAI()
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps({"output": solve(client, case["input"])}), flush=True)


if __name__ == "__main__":
    main()
