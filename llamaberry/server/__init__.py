"""The HTTP server: the OpenAI-compatible API and access control."""
