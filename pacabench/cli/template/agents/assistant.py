"""An agent: reads a case per line on stdin, writes an answer per line on stdout.

PacaBench sets OPENAI_BASE_URL and OPENAI_API_KEY, so the SDK needs no arguments. What is written
to stderr is kept as the attempt's log.
"""

import json
import os
import sys

from openai import OpenAI

PROMPT = "Answer the question. Be brief, and end with the answer itself."


def answer(client: OpenAI, question: str) -> str:
    """Ask the model, reading its reply as it is written."""
    stream = client.chat.completions.create(
        model=os.environ.get("MODEL", "gpt-4o-mini"),
        messages=[
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": question},
        ],
        stream=True,
    )
    parts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    return "".join(parts)


def main() -> None:
    """Answer cases until stdin ends."""
    client = OpenAI()
    for line in sys.stdin:
        case = json.loads(line)
        try:
            reply = {"output": answer(client, case["input"]), "error": None}
        except Exception as error:
            reply = {"output": None, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
