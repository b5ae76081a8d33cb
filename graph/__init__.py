"""The shape of the graph: what flows, and where it goes next."""
