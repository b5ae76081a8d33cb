"""The synthesis: weigh all turns, and write the answer that the user reads."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage

from llamaberry.graph.agreement import agrees
from llamaberry.graph.answers import answer_changed, best_turn, most_turns_agree
from llamaberry.graph.check import (
    Check,
    has_evidence,
    is_short_result,
    standing_answer,
    unanimous_answer,
    verified_turn,
)
from llamaberry.graph.errors import ModelError
from llamaberry.graph.reply import ParsedSynthesis, finish_reason, parse_synthesis
from llamaberry.graph.state import State
from llamaberry.graph.turn import Turn
from llamaberry.models.client import ModelReply
from llamaberry.nodes import refine_turn as refine
from llamaberry.nodes._node import Attempt, Node

_WRITE = """\
answer the question for someone who has read none of them. Reply under these headings: `## Analysis of Turns`, \
`## Comparison`, `## Final Reasoning`, `## Comprehensive Answer`, `## Concise Answer` (the bare result, in a sentence \
or less)."""

ASK = f"""\
This is the synthesis. Weigh all the turns above by their reasons: a later turn is not better for being later. Then \
{_WRITE}"""

PRINTED = """\
Your program ran, and what it printed stands as the result: {standing}."""

ASK_AFTER_PROGRAM = f"""\
This is the synthesis. The turns gave other answers, and are not shown. Compare the program with the question, and \
{_WRITE}"""

PRINTED_ALSO = """\
A program was written from the question alone, and run:

```python
{program}
```

It printed: {answer}. The turns above say otherwise: weigh whether the program computes what the question asks."""


class BestAnswer(NamedTuple):
    """The answer of the best turn: where it is from, the answer to read, and the one to compare ("" for none)."""

    source: str
    answer: str
    concise: str


def prompt(attempt: Attempt) -> list[AnyMessage] | None:
    """Return the last refine turn's prompt, its reply, and the instruction of the synthesis.

    None if there is nothing to weigh (a single turn, one that the program verifies, or independent turns that agree) or
    a turn has failed: then the best turn's answer is the answer.
    """
    turns, check, stop_reason = attempt.state["turns"], attempt.state.get("check"), attempt.state["stop_reason"]
    own_ask = attempt.context.instructions.get("synthesize")
    if stop_reason == "error" or (len(turns) == 1 and stop_reason == "max_turns") or verified_turn(turns, check):
        return None
    if attempt.context.second_turn == "independent" and not has_evidence(check) and most_turns_agree(turns):
        return None
    if check and (standing := standing_answer(turns, check)):
        ask = f"{PRINTED.format(standing=standing)}\n\n{own_ask or ASK_AFTER_PROGRAM}"
        return refine.after_program(check, attempt, ask)
    evidence = [PRINTED_ALSO.format(**check)] if check and check["answer"] else []
    ask = "\n\n".join([*evidence, own_ask or ASK])
    return [*refine.after_turns(attempt)[:-1], refine.instruction(ask, turns[-1], attempt)]


def update(attempt: Attempt, reply: ModelReply | None) -> dict[str, Any]:
    """Write the answer, and in `degraded` what is missing from it."""
    turns, check = attempt.state["turns"], attempt.state.get("check")
    best = _best_answer(turns, check)
    answer, concise = best.answer, best.concise
    earlier = attempt.state.get("degraded")
    missing = [earlier] if earlier else []
    cut = [f"turn {turn['index']}" for turn in turns if turn["finish_reason"] == "length"]
    if reply:
        parsed = parse_synthesis(reply.message.text)
        answer, concise = parsed.comprehensive or answer, parsed.concise or concise
        standing = standing_answer(turns, check)
        if standing and not agrees(concise, standing):
            answer = concise = standing
        elif (unanimous := unanimous_answer(turns)) and not has_evidence(check) and not agrees(concise, unanimous):
            # Where all turns agree, a small model's synthesis broke nine right answers and fixed two wrong ones.
            answer = unanimous if answer_changed(unanimous, answer, concise=True) else answer
            concise = unanimous
        if not concise and is_short_result(answer):
            concise = answer
        missing += _missing(parsed, best, answer, concise)
        if finish_reason(reply.message) == "length":
            cut.append("the synthesis")
    elif not concise and best.source not in (earlier or ""):
        missing.append(f"No turn states an answer under its heading: {best.source} stands for it.")
    if cut:
        limit = f"max_tokens ({attempt.context.max_tokens}; --max-tokens raises it)"
        limit = "the model's own limit of tokens" if attempt.models else limit
        missing.append(f"Cut short at {limit}: {', '.join(cut)}.")
    return {
        "answer": answer,
        "concise_answer": concise,
        "messages": [AIMessage(answer)],
        "degraded": " ".join(missing) or None,
    }


def on_failure(attempt: Attempt, error: ModelError) -> dict[str, Any]:
    """Answer with the best of the turns."""
    source = _best_answer(attempt.state["turns"], attempt.state.get("check")).source
    degraded = f"The synthesis failed, and {source} stands for it: {error}."
    state: State = {**attempt.state, "degraded": degraded}
    return {**update(attempt._replace(state=state), None), "stop_reason": "error"}


def _missing(parsed: ParsedSynthesis, best: BestAnswer, answer: str, concise: str) -> list[str]:
    """Return a sentence that names the answers missing from a synthesis and what is used instead, if any is missing."""
    names = [name for name in ("comprehensive", "concise") if not getattr(parsed, name)]
    if not names:
        return []
    stands = f"{best.source} stands for it"
    if names == ["concise"] and not best.concise:
        stands = "its comprehensive answer stands for it" if concise == answer else "no turn states one either"
    return [f"The synthesis states no {' and no '.join(names)} answer: {stands}."]


def _best_answer(turns: Sequence[Turn], check: Check | None) -> BestAnswer:
    if standing := standing_answer(turns, check):
        return BestAnswer("the program's output", standing, standing)
    if best := verified_turn(turns, check) or best_turn(turns):
        return BestAnswer(f"turn {best['index']}'s answer", best["answer"] or "", best["answer"] or "")
    return BestAnswer(f"the text of turn {turns[-1]['index']}", turns[-1]["text"], "")


synthesize = Node(prompt, update, on_failure)
