"""Past runs: read from their last checkpoint, in figures and words, and as a page."""
