"""Batches: any number of questions from a JSONL file, answered into another file."""

from llamaberry.batch.run import BatchSummary as BatchSummary
from llamaberry.batch.run import batch as batch
