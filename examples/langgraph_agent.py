"""A LangGraph agent that sees: it calls a flow as a tool, and reads what the flow tells.

Its model is a script, so that nothing is needed to run it; take any that calls tools in its place, for example
`init_chat_model("openai:gpt-5")`.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from orchestrator import Flow
from orchestrator.agents import as_tool

DOG = Path(__file__).parents[1] / "flows" / "media" / "dog.png"
look = as_tool(Flow.arrow("image -> text"), name="look", description="Look at a picture: tells what is in it.")


class Script(GenericFakeChatModel):
    """Says what is written, whatever it is asked."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Script":
        return self


def script(picture: str) -> Iterator[AIMessage]:
    # A model that knows no better gives a wrong path first: it is told, and tries again.
    for number, path in enumerate([f"{picture}.jpg", picture]):
        yield AIMessage("", tool_calls=[{"name": "look", "args": {"image": path}, "id": f"call-{number}"}])
    yield AIMessage("That is what I see.")


def main(picture: str) -> list[BaseMessage]:
    agent = create_agent(Script(messages=script(picture)), [look])
    messages: list[BaseMessage] = agent.invoke({"messages": [("user", f"What is in {picture}?")]})["messages"]
    return messages


if __name__ == "__main__":
    for message in main(sys.argv[1] if len(sys.argv) > 1 else str(DOG)):
        calls = getattr(message, "tool_calls", None)
        status = f" {message.status}" if isinstance(message, ToolMessage) else ""
        print(f"{message.type}{status}: {calls[0]['args'] if calls else message.text}")
