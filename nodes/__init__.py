"""The steps of the graph: one file a node, its prompt beside it."""
