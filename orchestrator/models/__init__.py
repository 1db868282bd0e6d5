"""Bundles and the models in them: encoders, LLMs, projectors, generators. Importing it imports no torch."""
