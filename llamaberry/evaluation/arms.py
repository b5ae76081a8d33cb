"""An arm puts a question to the graph: what was asked is kept in checkpoints, so that nothing is asked twice."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from llamaberry.evaluation.data import Case
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.results import Arm, Reply, Result, Tokens
from llamaberry.graph.answers import normalise
from llamaberry.graph.calls import Call, total, turn_calls
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.reply import parse_synthesis
from llamaberry.graph.routing import why_stop
from llamaberry.graph.turn import Turn
from llamaberry.graph.workflow import build_graph
from llamaberry.threads import thread_config


class Runner:
    """Answers cases in arms, with so many runs of the graph at once, on threads that outlive a killed process.

    With `shared_turns` a case's turns are drawn once, and each arm stops where it would: what it is compared in is then
    the stop and the synthesis, not the luck of the draw. The first turn is also the first vote of `self-consistency`.
    Each arm is charged with all of its turns all the same. `again`: a turn that failed for good is asked for once more.
    """

    def __init__(
        self,
        saver: BaseCheckpointSaver[Any],
        context: Context,
        *,
        concurrency: int,
        shared_turns: bool = False,
        judge: Judge | None = None,
        again: bool = False,
    ) -> None:
        self._saver = saver
        self._graph = build_graph(saver)
        self._context = context
        self._slots = asyncio.Semaphore(concurrency)
        self._shared = shared_turns
        self._judge = judge
        self._again = again
        self._retried: set[str] = set()
        self._drawing: dict[str, asyncio.Lock] = {}

    async def result(self, case: Case, arm: Arm) -> Result:
        """Return what the arm makes of the case. A model call that fails for good is told in the result.

        Raises:
            SetupError: no call can be made at all.
        """
        told = _Told()
        try:
            if arm.draws > 1:
                await self._vote(case, arm, told)
            else:
                await self._think(case, arm, told)
            told.right = told.answer is not None and await self._right(case, told.answer)
        except ModelError as error:
            told.error = str(error)
        return Result(
            id=case.id, task=case.task, arm=arm.name, question=case.question, expected=case.expected, **vars(told)
        )

    async def forget(self, case: Case, arm: Arm) -> None:
        """Delete what was kept to resume the case in this arm: its result is on the disk."""
        for draw in range(1, arm.draws + 1):
            await self._saver.adelete_thread(_thread(case, arm, draw))

    async def _think(self, case: Case, arm: Arm, told: "_Told") -> None:
        state = await self._run(case, arm, drawn=await self._drawn(case, arm) if self._shared else None)
        for turn in state["turns"]:
            told.replies.append(await self._turn(case, f"turn {turn['index']}", turn))
        told.stop_reason, told.degraded = state["stop_reason"], state["degraded"]
        told.error = state["degraded"] if state["stop_reason"] == "error" else None
        told.answer = state["concise_answer"] or None
        for call in state["calls"]:
            if call["step"] == "synthesize":
                answer = parse_synthesis(call["text"]).concise
                told.replies.append(
                    Reply(
                        step="synthesis",
                        answer=answer,
                        right=answer is not None and await self._right(case, answer),
                        finish_reason=call["finish_reason"],
                        seconds=call["seconds"],
                        tokens=_tokens(call),
                        text=call["text"],
                    )
                )

    async def _vote(self, case: Case, arm: Arm, told: "_Told") -> None:
        async def draw(number: int) -> Turn:
            if self._shared and number == 1:
                state = await self._drawn(case, SINGLE)
            else:
                state = await self._run(case, arm, draw=number)
            turn: Turn = state["turns"][0]
            return turn

        draws = await asyncio.gather(*(draw(number) for number in range(1, arm.draws + 1)), return_exceptions=True)
        turns = {number: drawn for number, drawn in enumerate(draws, 1) if not isinstance(drawn, BaseException)}
        for number, turn in turns.items():
            told.replies.append(await self._turn(case, f"draw {number}", turn))
        answers = [turn["answer"] for turn in turns.values() if turn["answer"] is not None]
        if answers:
            votes = Counter(map(normalise, answers))
            told.answer = max(answers, key=lambda answer: votes[normalise(answer)])  # in a tie, the first drawn
        failed = [drawn for drawn in draws if isinstance(drawn, BaseException)]
        for error in failed:
            if not isinstance(error, ModelError):
                raise error
        if failed:
            told.error = f"{len(failed)} of {arm.draws} draws failed: {failed[0]}"

    async def _turn(self, case: Case, step: str, turn: Turn) -> Reply:
        return Reply(
            step=step,
            answer=turn["answer"],
            right=turn["answer"] is not None and await self._right(case, turn["answer"]),
            verdict=turn["verdict"],
            finish_reason=turn["finish_reason"],
            seconds=turn["seconds"],
            tokens=_tokens(turn_calls([turn])[0]),
            text=turn["text"],
        )

    async def _right(self, case: Case, answer: str) -> bool:
        if case.check:
            return case.check(answer)
        if self._judge is None:
            raise SetupError(f"{case.id} has no checker: name the model that judges by --judge MODEL")
        return await self._judge.right(case, answer)

    async def _drawn(self, case: Case, arm: Arm) -> dict[str, Any]:
        """Return the state of the case's shared turns at the one after which the arm stops; draw those that lack."""
        config, context = thread_config(f"{case.id} turns"), self._context_of(arm)
        async with self._drawing.setdefault(case.id, asyncio.Lock()):
            while True:
                kept = await self._graph.aget_state(config)
                turns: list[Turn] = kept.values.get("turns", [])
                for count in range(1, len(turns) + 1):
                    if why := why_stop(turns[:count], total(turn_calls(turns[:count])), context):
                        calls = turn_calls(turns[:count])
                        shared = {"turns": turns[:count], "calls": calls, "usage": total(calls)}
                        return {**kept.values, **shared, "stop_reason": why, "degraded": None}
                if turns and kept.values["stop_reason"]:  # "error": there will be no more
                    if not self._again or case.id in self._retried:
                        return kept.values
                    self._retried.add(case.id)
                    await self._graph.aupdate_state(config, _NO_ERROR, as_node=_last_node(turns))
                async with self._slots:
                    await self._graph.ainvoke(
                        {"query": case.question} if kept.created_at is None else None,
                        config,
                        context=self._context_of(LONGEST),
                        interrupt_after=["first_turn", "refine_turn"],
                        durability="sync",
                    )

    async def _run(self, case: Case, arm: Arm, *, drawn: dict[str, Any] | None = None, draw: int = 1) -> dict[str, Any]:
        """Return the final state of a run: begun now, gone on with where it was cut, or as it was kept."""
        config = thread_config(_thread(case, arm, draw))
        async with self._slots:
            kept = await self._graph.aget_state(config)
            if kept.created_at is not None and not kept.tasks:  # as in threads.Thread.interrupted
                return kept.values
            asked: dict[str, Any] | None = None
            if kept.created_at is None and drawn:
                await self._graph.aupdate_state(config, drawn, as_node=_last_node(drawn["turns"]))
            elif kept.created_at is None:
                asked = {"query": case.question}
            context = self._context_of(arm)
            state: dict[str, Any] = await self._graph.ainvoke(asked, config, context=context, durability="sync")
            return state

    def _context_of(self, arm: Arm) -> Context:
        return self._context.model_copy(update={"max_turns": arm.turns, "early_stop": arm.early_stop})


SINGLE, LONGEST = Arm("single", 1), Arm("turns:10", 10)
_NO_ERROR = {"stop_reason": None, "degraded": None}


@dataclass
class _Told:
    """What there is of a result so far: where a call fails, the replies before it are kept."""

    answer: str | None = None
    right: bool = False
    replies: list[Reply] = field(default_factory=list)
    stop_reason: str | None = None
    degraded: str | None = None
    error: str | None = None


def _last_node(turns: list[Turn]) -> str:
    return "first_turn" if len(turns) == 1 else "refine_turn"


def _thread(case: Case, arm: Arm, draw: int) -> str:
    return f"{case.id} {arm.name} {draw}"


def _tokens(call: Call) -> Tokens | None:
    usage = total([call])
    tokens = Tokens(input=usage["input_tokens"], output=usage["output_tokens"], cached=usage["cached_tokens"])
    return tokens if call["usage"] else None
