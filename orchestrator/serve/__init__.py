"""Flows over HTTP: runs, media, and what clients of OpenAI's API expect. It needs the extra `serve`."""
