"""Helpers shared by tests and benchmarks: the command line, a scripted Groq, a trace collector, servers."""
