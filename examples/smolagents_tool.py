"""A smolagents agent with a flow as its tool: what LangChain can call, smolagents can.

Its model is a script; take any of smolagents' models in its place.
"""

import sys
from pathlib import Path
from typing import Any

from smolagents import ChatMessage, MessageRole, Model, Tool, ToolCallingAgent
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction

from orchestrator import Flow
from orchestrator.agents import as_tool

DOG = Path(__file__).parents[1] / "flows" / "media" / "dog.png"


class Script(Model):
    """Looks at the picture, and answers with what the tool said."""

    def __init__(self, picture: str) -> None:
        super().__init__(model_id="script")
        self.picture, self.asked = picture, 0

    def generate(self, messages: list[ChatMessage], *args: Any, **kwargs: Any) -> ChatMessage:
        self.asked += 1
        seen = str(messages[-1].content)
        name, arguments = ("look", {"image": self.picture}) if self.asked == 1 else ("final_answer", {"answer": seen})
        call = ChatMessageToolCall(ChatMessageToolCallFunction(arguments, name), id=str(self.asked), type="function")
        return ChatMessage(MessageRole.ASSISTANT, tool_calls=[call])


def main(picture: str) -> str:
    look = Tool.from_langchain(
        as_tool(Flow.arrow("image -> text"), name="look", description="Look at the picture at a path.")
    )
    return str(ToolCallingAgent([look], Script(picture), verbosity_level=0).run("What is in the picture?"))


if __name__ == "__main__":
    print(main(sys.argv[1] if len(sys.argv) > 1 else str(DOG)))
