"""`llamaberry batch`: answer a file of questions."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from llamaberry.cli.options import context_options, output_path
from llamaberry.console import DEGRADED, FAILURE, dollars, print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError


@context_options()
def batch(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A JSONL file with a question, and perhaps an id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The JSONL file for the answers.")],
    settings: dict[str, Any],
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Parallel runs. [default: 64, or the local model's slots]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that answer, for more than one core.")] = 1,
    shard: Annotated[str | None, typer.Option(help="i/n: every nth line of IN, from line i on.")] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Retry failed questions.")] = False,
    keep_turns: Annotated[
        bool | None,
        typer.Option(help="Store the turns of unfinished runs, so that a kill loses none. [default: if --turns > 1]"),
    ] = None,
    accept_degraded: Annotated[
        bool, typer.Option("--accept-degraded", help="Exit with 0 instead of 3 if an answer is missing or incomplete.")
    ] = False,
) -> int:
    """Answer a file of questions, or continue it.

    It keeps to the provider's rate limits. After an interruption, run the same command again.
    """
    from llamaberry.batch.files import EXAMPLE
    from llamaberry.batch.run import batch as answer_questions
    from llamaberry.models.local import server as local_server
    from llamaberry.tracing.langsmith import tracing_session

    context, out = Context(**settings), output_path(out, "OUT")
    number, slash, count = (shard or "1/1").partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise SetupError(f"--shard {shard}: write i/n, such as 1/4")
    with tracing_session(report=False, runs=[]):
        try:
            summary = asyncio.run(
                answer_questions(
                    source,
                    out,
                    context,
                    concurrency=concurrency,
                    workers=workers,
                    shard=(int(number), int(count)),
                    retry_errors=retry_errors,
                    keep_turns=keep_turns,
                )
            )
        except KeyboardInterrupt:
            print_error("the same command goes on from here")
            raise
        finally:
            local_server.close()
    if not (summary.answered or summary.degraded or summary.failed) and shard is None:
        raise SetupError(f"{source} contains no question: write one in each line, like {EXAMPLE}")
    counts = {"answered": summary.answered, "degraded": summary.degraded, "failed": summary.failed}
    outcomes = [f"{n:,} {kind}" for kind, n in counts.items() if n] or ["no question"]
    tokens = [f"{summary.total_tokens:,} tokens"] if summary.total_tokens else []
    cost = [dollars(summary.cost_usd)] if summary.cost_usd else []
    typer.echo(f"{out}: {', '.join([*outcomes, *tokens, *cost])}")
    if summary.failed and not summary.answered + summary.degraded:
        return FAILURE
    incomplete = summary.degraded + summary.failed + summary.bad
    return DEGRADED if incomplete and not accept_degraded else 0
