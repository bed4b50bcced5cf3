"""Models behind HTTP: OpenAI's API, our own, health and metrics. The engine does the work; this room speaks HTTP."""
