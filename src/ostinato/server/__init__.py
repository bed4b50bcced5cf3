"""Serves models over HTTP: OpenAI's API, our own endpoints, health and metrics. The engine writes; this room speaks
HTTP."""
