"""Answer a question in an arm; the graph's checkpoints keep what was answered, so that no call is repeated."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from llamaberry.evaluation.data import Case
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.results import Arm, Reply, Result, Tokens
from llamaberry.graph.answers import normalise
from llamaberry.graph.calls import Call, cost_usd, turn_calls
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.reply import parse_synthesis
from llamaberry.graph.routing import why_stop
from llamaberry.graph.turn import Turn, Verdict
from llamaberry.graph.workflow import build_graph
from llamaberry.threads import thread_config

SINGLE = Arm("single", 1)
_NO_ERROR = {"stop_reason": None, "degraded": None}


@dataclass
class Runner:
    """Answers cases in arms, with at most `concurrency` runs of the graph at once, on threads that survive a kill.

    With `shared_turns` the turns and the check of a case are generated once and each arm takes those up to its own
    stop, so that arms differ in what they do, not by chance. The first turn is also the first draw of a vote. Each arm
    is still charged for all of its turns. With `retry_failed` a shared turn that failed is retried once.
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
        self._retried: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, case: Case, arm: Arm) -> Result:
        """Return the result of the case in this arm; a failed model call is its `error`.

        Raises:
            SetupError: no model can be called.
        """
        result = Result(id=case.id, task=case.task, arm=arm.name, question=case.question, expected=case.expected)
        try:
            if arm.is_program:
                await self._run_program(case, result)
            else:
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
        state = await self._run_graph(case, arm, start=await self._shared_state(case, arm))
        turns = {call["step"]: turn for call, turn in zip(turn_calls(state["turns"]), state["turns"], strict=True)}
        last_check = next((call for call in reversed(state["calls"]) if call["step"] == "verify"), None)
        for call in state["calls"]:
            if turn := turns.get(call["step"]):
                step = f"turn {turn['index']}"
                result.replies.append(await self._reply(case, step, turn, turn["answer"], turn["verdict"]))
            elif call["step"] == "synthesize":
                answer = parse_synthesis(call["text"]).concise
                result.replies.append(await self._reply(case, "synthesis", call, answer))
            else:
                answer = state["check"]["answer"] if call is last_check else None
                result.replies.append(await self._reply(case, "check", call, answer))
        result.stop_reason, result.degraded, result.check = state["stop_reason"], state["degraded"], state["check"]
        result.error = state["degraded"] if state["stop_reason"] == "error" else None
        result.answer = state["concise_answer"] or None

    async def _run_program(self, case: Case, result: Result) -> None:
        state = await self._shared_turns(case, self.context, _is_checked)
        result.check = state["check"]
        result.answer = result.check["answer"] if result.check else None
        calls = [call for call in state["calls"] if call["step"] == "verify"]
        for call in calls:
            answer = result.answer if call is calls[-1] else None
            result.replies.append(await self._reply(case, "check", call, answer))

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
            cost_usd=cost_usd(source["model"], usage) if usage else None,
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
        context = self._arm_context(arm)

        def stop_reason(state: dict[str, Any]) -> Any:
            if state["to_check"] and arm.turns > 1:
                return None
            return state["stop_reason"] or why_stop(state["turns"], state["usage"], context, state["check"])

        state = await self._shared_turns(case, context, stop_reason)
        return {**state, "stop_reason": stop_reason(state), "to_check": False}

    async def _shared_turns(
        self, case: Case, context: Context, is_wanted: Callable[[dict[str, Any]], Any]
    ) -> dict[str, Any]:
        """Return the first wanted state of the turns that arms share, or where a turn failed; run the graph up to it.

        Turns without a check share the first turn with those that have one, and independent turns the check, too.
        """
        name = f"{case.id} turns"
        start: tuple[dict[str, Any], str] | None = None
        if context.verify == "none":
            name += " unchecked"
            first = await self._shared_turns(case, self.context, bool)
            start = {**first, "check": None, "to_check": False}, "first_turn"
        elif context.second_turn == "independent":
            checked = await self._shared_turns(case, self.context, _is_checked)
            if checked["check"]["answer"] is None:  # with a program, the refine turns are no others
                start = checked, "verify"
        if context.second_turn == "independent" and (start or context.verify == "none"):
            name += " independent"
        config = thread_config(name)
        longest = context.model_copy(update={"max_turns": 10, "early_stop": False})
        async with self._locks[name]:
            while True:
                states = await self._states(config)
                wanted = [
                    state
                    for state in states
                    if state.get("turns") and state["stop_reason"] != "error" and is_wanted(state)
                ]
                if wanted:
                    return wanted[-1]
                if states and states[0].get("stop_reason") == "error":
                    if not self.retry_failed or name in self._retried:
                        return states[0]
                    self._retried.add(name)
                    await self._graph.aupdate_state(config, _NO_ERROR, as_node="refine_turn")
                elif not states and start:
                    await self._graph.aupdate_state(config, start[0], as_node=start[1])
                    continue
                async with self._slots:
                    await self._graph.ainvoke(
                        None if states else {"query": case.question},
                        config,
                        context=longest,
                        interrupt_after=["first_turn", "verify", "refine_turn"],
                        durability="sync",
                    )

    async def _states(self, config: RunnableConfig) -> list[dict[str, Any]]:
        """Return the states of a thread, the newest first."""
        return [point.values async for point in self._graph.aget_state_history(config)]

    async def _run_graph(
        self, case: Case, arm: Arm, *, start: dict[str, Any] | None = None, draw: int = 1
    ) -> dict[str, Any]:
        """Return the final state of a run: a new one (from the state `start`), a resumed one, or a finished one."""
        config = thread_config(_thread_name(case, arm, draw))
        async with self._slots:
            snapshot = await self._graph.aget_state(config)
            if snapshot.created_at is not None and not snapshot.tasks:  # finished
                return snapshot.values
            new_input: dict[str, Any] | None = None
            if snapshot.created_at is None and start:
                await self._graph.aupdate_state(config, start, as_node="refine_turn")
            elif snapshot.created_at is None:
                new_input = {"query": case.question}
            context = self._arm_context(arm)
            return dict(await self._graph.ainvoke(new_input, config, context=context, durability="sync"))

    def _arm_context(self, arm: Arm) -> Context:
        return self.context.model_copy(
            update={
                "max_turns": arm.turns,
                "early_stop": arm.early_stop,
                "verify": "program" if arm.verify else "none",
                "second_turn": "independent" if arm.independent else "review",
            }
        )


def _is_checked(state: dict[str, Any]) -> bool:
    return bool(state["check"]) and not state["to_check"]


def _thread_name(case: Case, arm: Arm, draw: int) -> str:
    return f"{case.id} {arm.name} {draw}"
