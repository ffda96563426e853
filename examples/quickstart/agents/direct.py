"""Asks once, through chat completions, and reads the reply as a stream."""

import json
import sys

from openai import OpenAI

PROMPT = "Think, then write the answer on a line of its own: ANSWER: ..."


def ask(client: OpenAI, question: str) -> str:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": PROMPT}, {"role": "user", "content": question}],
        stream=True,
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def main() -> None:
    client = OpenAI()  # base URL and key come from the environment
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps({"output": ask(client, case["input"])}), flush=True)


if __name__ == "__main__":
    main()
