"""The local model: its download, its server, and the process that runs it."""
