"""Helpers shared by tests and benchmarks: a scripted Groq, a LangSmith collector, servers."""
