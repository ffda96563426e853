"""What real SDKs and frameworks are made to do in a lane: every way in which each of them calls."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

ANSWER = "forty two"
QUESTION = "six times seven?"
REQUIREMENTS = {
    "openai": version("openai"),
    "anthropic": version("anthropic"),
    "google-genai": version("google-genai"),
    "langchain-openai": "1.7.4",
    "smolagents": "1.26.0",
}
"""All in one image. The first three are those that the tests on the host use."""


@dataclass(frozen=True)
class SdkCall:
    """One call."""

    sdk: str
    api: str
    """As the SDK names it."""
    code: str
    """An expression; gives the answer's text, or true."""
    provider: str
    endpoint: str
    stream: bool = False


SETUP = {
    "openai": """
import openai
say_ = [{"role": "user", "content": QUESTION}]
client = openai.OpenAI(max_retries=0)
azure = openai.AzureOpenAI(api_version="2024-10-21", max_retries=0)
def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
def spoken(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")
""",
    "anthropic": """
import anthropic
say_ = [{"role": "user", "content": QUESTION}]
client = anthropic.Anthropic(max_retries=0)
asked = {"model": "a", "max_tokens": 9, "messages": say_}
def final(manager):
    with manager as stream:
        return stream.get_final_text()
""",
    "google-genai": """
from google import genai
client = genai.Client()
asked = {"model": "g", "contents": QUESTION}
""",
    "langchain-openai": """
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
chat = ChatOpenAI(model="l", max_retries=0)
responses = ChatOpenAI(model="l", max_retries=0, use_responses_api=True)
vectors = OpenAIEmbeddings(model="e", max_retries=0, check_embedding_ctx_length=False)
""",
    "smolagents": """
from smolagents import ChatMessage, CodeAgent, OpenAIServerModel
model = OpenAIServerModel(model_id="s", api_base=os.environ["OPENAI_BASE_URL"])
asked = [ChatMessage(role="user", content=[{"type": "text", "text": QUESTION}])]
""",
}
_CHAT, _RESPONSES = ("openai", "chat.completions"), ("openai", "responses")
_MESSAGES = ("anthropic", "messages")
CALLS = [
    SdkCall("openai", "chat.completions.create",
            "client.chat.completions.create(model='o', messages=say_).choices[0].message.content",
            *_CHAT),
    SdkCall("openai", "chat.completions.create, stream",
            "joined(client.chat.completions.create(model='o', messages=say_, stream=True))",
            *_CHAT, True),
    SdkCall("openai", "responses.create",
            "client.responses.create(model='o', input=QUESTION).output_text", *_RESPONSES),
    SdkCall("openai", "responses.create, stream",
            "spoken(client.responses.create(model='o', input=QUESTION, stream=True))",
            *_RESPONSES, True),
    SdkCall("openai", "embeddings.create",
            "bool(client.embeddings.create(model='e', input=['a', 'b']).data)",
            "openai", "embeddings"),
    SdkCall("openai", "AzureOpenAI().chat.completions.create",
            "azure.chat.completions.create(model='z', messages=say_).choices[0].message.content",
            "azure_openai", "chat.completions"),
    SdkCall("openai", "AzureOpenAI().chat.completions.create, stream",
            "joined(azure.chat.completions.create(model='z', messages=say_, stream=True))",
            "azure_openai", "chat.completions", True),
    SdkCall("anthropic", "messages.create", "client.messages.create(**asked).content[0].text",
            *_MESSAGES),
    SdkCall("anthropic", "messages.stream", "final(client.messages.stream(**asked))",
            *_MESSAGES, True),
    SdkCall("google-genai", "generate_content", "client.models.generate_content(**asked).text",
            "gemini", "generateContent"),
    SdkCall("google-genai", "generate_content_stream",
            "''.join(part.text for part in client.models.generate_content_stream(**asked))",
            "gemini", "streamGenerateContent", True),
    SdkCall("langchain-openai", "ChatOpenAI.invoke", "chat.invoke(QUESTION).content", *_CHAT),
    SdkCall("langchain-openai", "ChatOpenAI.stream",
            "''.join(part.content for part in chat.stream(QUESTION))", *_CHAT, True),
    SdkCall("langchain-openai", "ChatOpenAI(use_responses_api).invoke",
            "responses.invoke(QUESTION).text", *_RESPONSES),
    SdkCall("langchain-openai", "ChatOpenAI(use_responses_api).stream",
            "''.join(part.text for part in responses.stream(QUESTION))", *_RESPONSES, True),
    SdkCall("langchain-openai", "OpenAIEmbeddings.embed_documents",
            "bool(vectors.embed_documents(['a', 'b']))", "openai", "embeddings"),
    SdkCall("smolagents", "OpenAIServerModel.generate", "model.generate(asked).content", *_CHAT),
    SdkCall("smolagents", "OpenAIServerModel.generate_stream",
            "''.join(part.content or '' for part in model.generate_stream(asked))", *_CHAT, True),
    SdkCall("smolagents", "CodeAgent.run",
            "CodeAgent(tools=[], model=model, max_steps=2, verbosity_level=0).run(QUESTION)",
            *_CHAT),
]  # fmt: skip


def program(sdk: str) -> str:
    """What an agent has to run: makes all calls of ``sdk`` and says what came back."""
    calls = ", ".join(call.code for call in CALLS if call.sdk == sdk)
    return f"QUESTION = {QUESTION!r}\n{SETUP[sdk]}\nsay([{calls}])"


def rendered() -> Iterator[str]:
    """The lines of their table in docs/conformance.md."""
    yield "| SDK | calls | provider | API | mode |"
    yield "|---|---|---|---|---|"
    for call in CALLS:
        mode = "events" if call.stream else "document"
        cells = (call.sdk, f"`{call.api}`", call.provider, call.endpoint, mode)
        yield f"| {' | '.join(cells)} |"
