"""Asks twice, through the Responses API: for a draft, then whether the draft holds."""

import json
import sys

from openai import OpenAI

PROMPT = "Think, then write the answer on a line of its own: ANSWER: ..."


def ask(client: OpenAI, text: str) -> str:
    stream = client.responses.create(
        model="gpt-4o-mini", instructions=PROMPT, input=text, stream=True
    )
    return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


def main() -> None:
    client = OpenAI()
    for line in sys.stdin:
        question = json.loads(line)["input"]
        draft = ask(client, question)
        print(f"draft: {draft!r}", file=sys.stderr)  # kept as the attempt's log
        final = ask(client, f"Check this answer.\nQuestion: {question}\nDraft: {draft}")
        print(json.dumps({"output": final}), flush=True)


if __name__ == "__main__":
    main()
