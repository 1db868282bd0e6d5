"""The LLM: dialogues, signals and calls, adapters, what it learns, and one that is remote."""
