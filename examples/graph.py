"""A flow as a node of a graph of your own. `langgraph.json` names `graph`, so `langgraph dev` serves it."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph

from orchestrator import Flow
from orchestrator.agents import as_node


class State(TypedDict, total=False):
    picture: str
    caption: str
    praise: str


def admire(state: State) -> State:
    return {"praise": f"What a picture! {state['caption']}"}


look = as_node(Flow.arrow("image -> text"), {"image": "picture"}, {"text": "caption"})
graph = (
    StateGraph(State)
    .add_node("look", look)
    .add_node("admire", admire)
    .add_edge(START, "look")
    .add_edge("look", "admire")
    .add_edge("admire", END)
    .compile()
)
