"""A batch on a cluster: each Ray actor answers a shard of the questions, into its own file.

    pip install ray
    python examples/ray_batch.py questions.jsonl answers 4

Each machine needs Llamaberry, GROQ_API_KEY in its environment, and both paths, on a shared folder. When an actor or its
machine dies, Ray starts another one, which resumes from the finished answers; so does this command if run again.
"""

import asyncio
import sys
from pathlib import Path

import ray

from llamaberry import BatchSummary, Context, batch

source, folder, count = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), int(sys.argv[3])


@ray.remote(max_restarts=-1, max_task_retries=-1)
class Shard:
    """A process that answers every nth question."""

    def answer(self, number: int) -> BatchSummary:
        """Answer the questions of this shard that have no answer yet."""
        return asyncio.run(batch(source, folder / f"{number}.jsonl", Context(max_turns=2), shard=(number, count)))


ray.init(log_to_driver=False)
shards = [Shard.remote() for _ in range(count)]
for number, summary in enumerate(ray.get([shard.answer.remote(n) for n, shard in enumerate(shards, 1)]), 1):
    print(f"shard {number}/{count}: {summary.answered} answered, {summary.degraded + summary.failed} failed")
