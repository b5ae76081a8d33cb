"""Answer a question in an arm; the graph's checkpoints keep what was answered, so that no call is repeated."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import InitVar, dataclass
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
from llamaberry.graph.turn import Turn, Verdict
from llamaberry.graph.workflow import build_graph
from llamaberry.threads import thread_config

SINGLE, LONGEST = Arm("single", 1), Arm("turns:10", 10)
_NO_ERROR = {"stop_reason": None, "degraded": None}


@dataclass
class Runner:
    """Answers cases in arms, with at most `concurrency` runs of the graph at once, on threads that survive a kill.

    With `shared_turns` the turns of a case are generated once and each arm takes those up to its own stop, so that arms
    differ in stop and synthesis only, not by chance. The first turn is also the first draw of a vote. Each arm is still
    charged for all of its turns. With `retry_failed` a shared turn that failed is retried once.
    """

    saver: BaseCheckpointSaver[Any]
    context: Context
    concurrency: InitVar[int]
    shared_turns: bool = False
    judge: Judge | None = None
    retry_failed: bool = False

    def __post_init__(self, concurrency: int) -> None:
        """Build the graph."""
        self._graph = build_graph(self.saver)
        self._slots = asyncio.Semaphore(concurrency)
        self._retried_cases: set[str] = set()
        self._case_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, case: Case, arm: Arm) -> Result:
        """Return the result of the case in this arm; a failed model call is its `error`.

        Raises:
            SetupError: no model can be called.
        """
        result = Result(id=case.id, task=case.task, arm=arm.name, question=case.question, expected=case.expected)
        try:
            await (self._run_vote if arm.draws > 1 else self._run_turns)(case, arm, result)
            result.right = await self._is_right(case, result.answer)
        except ModelError as error:
            result.error = str(error)
        return result

    async def forget(self, case: Case, arm: Arm) -> None:
        """Delete the checkpoints of the case in this arm."""
        for draw in range(1, arm.draws + 1):
            await self.saver.adelete_thread(_thread_name(case, arm, draw))

    async def _run_turns(self, case: Case, arm: Arm, result: Result) -> None:
        state = await self._run_graph(case, arm, turns=await self._shared_state(case, arm))
        for turn in state["turns"]:
            step = f"turn {turn['index']}"
            result.replies.append(await self._reply(case, step, turn, turn["answer"], turn["verdict"]))
        result.stop_reason, result.degraded = state["stop_reason"], state["degraded"]
        result.error = state["degraded"] if state["stop_reason"] == "error" else None
        result.answer = state["concise_answer"] or None
        for call in state["calls"]:
            if call["step"] == "synthesize":
                answer = parse_synthesis(call["text"]).concise
                result.replies.append(await self._reply(case, "synthesis", call, answer))

    async def _run_vote(self, case: Case, arm: Arm, result: Result) -> None:
        async def draw(number: int) -> Turn:
            state = await self._shared_state(case, SINGLE) if number == 1 else None
            turn: Turn = (state or await self._run_graph(case, arm, draw=number))["turns"][0]
            return turn

        numbers = range(1, arm.draws + 1)
        draws = await asyncio.gather(*map(draw, numbers), return_exceptions=True)
        errors = [error for error in draws if isinstance(error, BaseException)]
        for error in errors:
            if not isinstance(error, ModelError):
                raise error
        for number, turn in zip(numbers, draws, strict=True):
            if not isinstance(turn, BaseException):
                result.replies.append(await self._reply(case, f"draw {number}", turn, turn["answer"]))
        answers = [reply.answer for reply in result.replies if reply.answer is not None]
        votes = Counter(map(normalise, answers))
        result.answer = max(answers, key=lambda answer: votes[normalise(answer)], default=None)  # a tie: the first draw
        if errors:
            result.error = f"{len(errors)} of {arm.draws} draws failed: {errors[0]}"

    async def _reply(
        self, case: Case, step: str, source: Turn | Call, answer: str | None, verdict: Verdict | None = None
    ) -> Reply:
        usage = source["usage"]
        return Reply(
            step=step,
            answer=answer,
            right=await self._is_right(case, answer),
            verdict=verdict,
            finish_reason=source["finish_reason"],
            seconds=source["seconds"],
            tokens=Tokens.of(usage) if usage else None,
            text=source["text"],
        )

    async def _is_right(self, case: Case, answer: str | None) -> bool:
        if answer is None:
            return False
        if case.check:
            return case.check(answer)
        if self.judge is None:
            raise SetupError(f"{case.id} has no checker: set the judging model with --judge MODEL")
        return await self.judge.is_right(case, answer)

    async def _shared_state(self, case: Case, arm: Arm) -> dict[str, Any] | None:
        """Return the state of the shared turns where this arm stops, or None without `shared_turns`."""
        if not self.shared_turns:
            return None
        config, context = thread_config(f"{case.id} turns"), self._arm_context(arm)
        async with self._case_locks[case.id]:
            while True:
                snapshot = await self._graph.aget_state(config)
                turns: list[Turn] = snapshot.values.get("turns", [])
                for count in range(1, len(turns) + 1):
                    calls = turn_calls(turns[:count])
                    if reason := why_stop(turns[:count], total(calls), context):
                        shared = {"turns": turns[:count], "calls": calls, "usage": total(calls)}
                        return {**snapshot.values, **shared, "stop_reason": reason, "degraded": None}
                if turns and snapshot.values["stop_reason"]:  # "error": no further turn will follow
                    if not self.retry_failed or case.id in self._retried_cases:
                        return snapshot.values
                    self._retried_cases.add(case.id)
                    await self._graph.aupdate_state(config, _NO_ERROR, as_node=_last_node(turns))
                async with self._slots:
                    await self._graph.ainvoke(
                        {"query": case.question} if snapshot.created_at is None else None,
                        config,
                        context=self._arm_context(LONGEST),
                        interrupt_after=["first_turn", "refine_turn"],
                        durability="sync",
                    )

    async def _run_graph(
        self, case: Case, arm: Arm, *, turns: dict[str, Any] | None = None, draw: int = 1
    ) -> dict[str, Any]:
        """Return the final state of a run: a new one (after the shared `turns`), a resumed one, or a finished one."""
        config = thread_config(_thread_name(case, arm, draw))
        async with self._slots:
            snapshot = await self._graph.aget_state(config)
            if snapshot.created_at is not None and not snapshot.tasks:  # finished
                return snapshot.values
            new_input: dict[str, Any] | None = None
            if snapshot.created_at is None and turns:
                await self._graph.aupdate_state(config, turns, as_node=_last_node(turns["turns"]))
            elif snapshot.created_at is None:
                new_input = {"query": case.question}
            context = self._arm_context(arm)
            state: dict[str, Any] = await self._graph.ainvoke(new_input, config, context=context, durability="sync")
            return state

    def _arm_context(self, arm: Arm) -> Context:
        return self.context.model_copy(update={"max_turns": arm.turns, "early_stop": arm.early_stop})


def _last_node(turns: list[Turn]) -> str:
    return "first_turn" if len(turns) == 1 else "refine_turn"


def _thread_name(case: Case, arm: Arm, draw: int) -> str:
    return f"{case.id} {arm.name} {draw}"
