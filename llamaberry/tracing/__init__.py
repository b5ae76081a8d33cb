"""What leaves for a tracer: LangSmith on the command line, node names and metadata, OTLP, the local viewer."""
