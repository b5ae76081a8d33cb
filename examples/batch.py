"""Twenty questions in one call, five at a time; one that fails does not affect the others.

python examples/batch.py
python examples/batch.py --async
"""

import asyncio
import sys
import time

from llamaberry import Context, graph

questions = [f"What is {n} * {n + 1}?" for n in range(10, 29)]
questions.insert(7, "   ")  # a blank question is an error
inputs = [{"query": question} for question in questions]
config = {"max_concurrency": 5}
context = Context(max_turns=1)

started_at = time.monotonic()
if "--async" in sys.argv:
    results = asyncio.run(graph.abatch(inputs, config, context=context, return_exceptions=True))
else:
    results = graph.batch(inputs, config, context=context, return_exceptions=True)

for question, result in zip(questions, results, strict=True):
    if isinstance(result, Exception):
        print(f"{question!r} failed: {type(result).__name__}")
    else:
        print(f"{question} {result['concise_answer']}")
failed = sum(isinstance(result, Exception) for result in results)
print(f"{len(results) - failed} answered, {failed} failed, in {time.monotonic() - started_at:.1f} s")
