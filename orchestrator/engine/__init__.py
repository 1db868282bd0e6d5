"""How a flow runs: compiled to LangGraph, with handles in its state and values in a store."""
