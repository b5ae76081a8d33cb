"""Model objects: `build_graph(model=…)` with LangChain's chat models instead of names."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListChatModel, GenericFakeChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_groq import ChatGroq
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from llamaberry import Context, ModelError, SetupError, build_graph
from llamaberry.batch import batch
from testing.batch import read_lines, write_questions
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, program, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}
TWO_TURNS = Context(max_turns=2)
ONE_TURN = Context(max_turns=1)
KEY = "gsk_of_the_object"


def fake(*replies: str) -> GenericFakeChatModel:
    """A model that says these in order."""
    return GenericFakeChatModel(messages=iter(replies))


def chat_groq(groq: ScriptedGroq, model: str = "openai/gpt-oss-20b", **options: Any) -> ChatGroq:
    """A real client of the scripted Groq, with a key of its own."""
    options = {"api_key": SecretStr(KEY), "base_url": groq.url, "max_retries": 0} | options
    return ChatGroq(model=model, **options)


class SyncOnly(BaseChatModel):
    """A model without asynchronous methods and without streams."""

    seconds: float = 0

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        time.sleep(self.seconds)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(first()))])

    @property
    def _llm_type(self) -> str:
        return "sync-only"


class Endless(SyncOnly):
    """A model whose streamed reply has no end."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        while True:
            chunk = ChatGenerationChunk(message=AIMessageChunk("na " * 100))
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


@pytest.mark.parametrize("kind", [FakeListChatModel, GenericFakeChatModel])
async def test_a_fake_answers_in_every_way(kind: type[BaseChatModel]) -> None:
    replies = [first("41"), "NONE", refine("42", "revise"), synthesis()]

    def graph() -> Any:
        model = FakeListChatModel(responses=replies) if kind is FakeListChatModel else fake(*replies)
        return build_graph(model=model)

    results = [await asyncio.to_thread(graph().invoke, QUESTION, context=TWO_TURNS)]
    results.append(await graph().ainvoke(QUESTION, context=TWO_TURNS))
    parts = [part async for part in graph().astream(QUESTION, context=TWO_TURNS, stream_mode=["messages", "values"])]
    results.append(parts[-1][1])
    for result in results:
        assert (result["answer"], result["concise_answer"], result["degraded"]) == ("The answer is 42.", "42", None)
        assert [turn["answer"] for turn in result["turns"]] == ["41", "42"]
        assert {call["model"] for call in result["calls"]} == {kind.__name__}
    tokens = [part[0].text for mode, part in parts if mode == "messages" and "attempt" in part[1]]
    assert "".join(tokens) == "".join(replies)
    assert len(tokens) > 20


def test_each_step_has_its_model(scripted: Scripted) -> None:
    groq = scripted([refine("42", "revise")])
    cheap, strong = fake(first("41")), chat_groq(groq)
    models = {"first_turn": cheap, "refine_turn": strong, "verify": fake(program()), "synthesize": fake(synthesis())}
    result = build_graph(model=models).invoke(QUESTION, context=TWO_TURNS)
    assert [turn["model"] for turn in result["turns"]] == ["GenericFakeChatModel", "groq:openai/gpt-oss-20b"]
    assert [call["step"] for call in result["calls"]] == ["first_turn", "verify", "refine_turn 2"]  # 42 is verified
    assert result["stop_reason"] == "verified"


def test_steps_without_an_object_have_named_models(groq: ScriptedGroq) -> None:
    context = Context(model="groq:named", refine_model="groq:second", max_turns=2, verify="none")
    result = build_graph(model={"first_turn": fake(first())}).invoke(QUESTION, context=context)
    assert [call["model"] for call in result["calls"]] == ["GenericFakeChatModel", "groq:second", "groq:named"]


def test_a_named_model_is_checked_before_the_objects_call() -> None:
    model = fake(first(), first())
    graph = build_graph(model={"first_turn": model})
    with pytest.raises(SetupError, match="no model is set up"):
        graph.invoke(QUESTION)
    assert graph.invoke(QUESTION, context=ONE_TURN)["answer"] == "42"  # needs no other model
    assert len(list(model.messages)) == 1


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({"first": fake()}, ValueError, r"no such step: first \(first_turn, verify, refine_turn, synthesize\)"),
        ("groq:x", TypeError, r"first_turn is the name 'groq:x': .*Context\(model='groq:x'\)"),
        ({"verify": 5}, TypeError, "model for verify is a int: pass a LangChain chat model"),
    ],
)
def test_a_wrong_model_is_an_error_of_build_graph(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_graph(model=model)


def test_an_ignored_name_is_warned_about() -> None:
    graph = build_graph(model=fake(first()))
    with pytest.warns(UserWarning, match=r"^model='groq:named' in the Context is ignored: build_graph\(model=…\)"):
        graph.invoke(QUESTION, context=Context(model="groq:named", max_turns=1))
    graph = build_graph(model={"first_turn": fake(first()), "verify": fake("NONE")})
    with pytest.warns(UserWarning, match="^verify_model='groq:named' in the Context is ignored") as caught:
        graph.invoke(QUESTION, context=Context(model="groq:others", verify_model="groq:named", max_turns=1))
    assert len(caught) == 1  # the other steps use Context.model


def test_the_objects_own_settings_count(scripted: Scripted) -> None:
    """Headers, temperature and limit are those of the object, not of the Context; what is bound counts, too."""
    groq = scripted([first(), refine(), synthesis()])
    model = chat_groq(groq, temperature=0.1, max_tokens=300, default_headers={"x-team": "a"}, reasoning_effort="low")
    models = {"first_turn": model, "refine_turn": model.bind(max_tokens=400), "synthesize": model.with_retry()}
    context = Context(max_turns=2, temperature=1.5, max_tokens=64, verify="none")
    build_graph(model=models).invoke(QUESTION, context=context)
    assert [request.body["max_tokens"] for request in groq.requests] == [300, 400, 300]
    for request in groq.requests:
        assert (request.body["temperature"], request.body["reasoning_effort"]) == (0.1, "low")
        assert (request.headers["x-team"], request.headers["authorization"]) == ("a", f"Bearer {KEY}")


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_is_recorded_as_the_writer(scripted: Scripted, stream: bool) -> None:
    def model(request: Request) -> Reply | str:
        return Reply(first(), cut=2) if request.body["model"] == "weak" else good_model(request)

    groq = scripted(model, model)
    weak, strong = (chat_groq(groq, name) for name in ("weak", "strong"))
    graph = build_graph(model=weak.with_fallbacks([strong]).with_config(tags=["mine"]))
    if stream:
        parts = list(graph.stream(QUESTION, context=TWO_TURNS, stream_mode=["messages", "values"]))
        result: Any = parts[-1][1]
    else:
        result = graph.invoke(QUESTION, context=TWO_TURNS)
    assert {call["model"] for call in result["calls"]} == {"groq:strong"}
    assert [turn["model"] for turn in result["turns"]] == ["groq:strong"] * 2
    assert result["turns"][0]["text"] == first()


def test_a_model_that_is_chosen_at_run_time_has_a_price(groq: ScriptedGroq) -> None:
    model = init_chat_model("openai/gpt-oss-20b", model_provider="groq", configurable_fields=("model",))
    result = build_graph(model=model).invoke(QUESTION, context=Context(max_turns=1))
    assert result["turns"][0]["model"] == "groq:openai/gpt-oss-20b"
    assert result["usage"]["cost_usd"]


def test_an_error_names_the_model_and_hides_the_keys(scripted: Scripted) -> None:
    """In the message, its cause and the traces."""
    token = "tok_12345678"
    groq = scripted([Reply(status=401, error=f"no {KEY} and no {token}")])
    runs = RunCollectorCallbackHandler()
    graph = build_graph(model=chat_groq(groq, default_headers={"x-auth": f"Bearer {token}"}))
    with pytest.raises(
        ModelError, match=r"^groq:openai/gpt-oss-20b answered 401: .*that of its object \(no "
    ) as caught:
        graph.invoke(QUESTION, {"callbacks": [runs]})
    traced = [str(run.error) for run in [*runs.traced_runs, *runs.traced_runs[0].child_runs]]
    for text in (str(caught.value), str(caught.value.__cause__), *traced):
        assert KEY not in text
        assert token not in text
    assert "no [secret] and no [secret]" in str(caught.value)


def test_all_fallbacks_failing_is_the_first_ones_error(scripted: Scripted) -> None:
    groq = scripted([Reply(status=400, error="one"), Reply(status=500, error="two")])
    model = chat_groq(groq, "weak").with_fallbacks([chat_groq(groq, "strong")])
    with pytest.raises(ModelError, match=r"^groq:weak answered 400: .*\(one\)"):
        build_graph(model=model).invoke(QUESTION)


def test_a_rate_limit_is_waited_for(scripted: Scripted) -> None:
    groq = scripted([Reply(status=429, headers={"retry-after": "0.3"}), first()])
    started_at = time.monotonic()
    assert build_graph(model=chat_groq(groq)).invoke(QUESTION, context=ONE_TURN)["answer"] == "42"
    assert time.monotonic() - started_at > 0.3
    assert len(groq.requests) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Reply(status=503), "answered 503: the provider is in trouble"),
        (Reply(first(), finish_reason=None, no_usage=True), "its reply ends without a finish reason"),
        (Reply(""), "gave an empty reply"),
    ],
)
def test_a_lasting_fault_of_an_object_takes_three_calls(scripted: Scripted, fault: Reply, message: str) -> None:
    groq = scripted([fault] * 3)
    with pytest.raises(ModelError, match=message):
        build_graph(model=chat_groq(groq)).invoke(QUESTION, context=ONE_TURN)
    assert len(groq.requests) == 3


def test_an_object_that_thinks_too_long_fails_in_words(scripted: Scripted) -> None:
    groq = scripted([Reply("", reasoning="Well …", finish_reason="length")])
    with pytest.raises(ModelError, match="used up max_tokens before it wrote a word: raise its own limit"):
        build_graph(model=chat_groq(groq)).invoke(QUESTION)
    assert len(groq.requests) == 1


def test_a_cut_reply_of_an_object_is_degraded(scripted: Scripted) -> None:
    groq = scripted([Reply(first(), finish_reason="length")])
    result = build_graph(model=chat_groq(groq, max_tokens=99)).invoke(QUESTION, context=ONE_TURN)
    assert result["degraded"] == "Cut short at the model's own limit of tokens: turn 1."


async def test_a_model_without_async_methods_works() -> None:
    graph = build_graph(model=SyncOnly())
    assert (await graph.ainvoke(QUESTION, context=ONE_TURN))["answer"] == "42"
    assert graph.invoke(QUESTION, context=ONE_TURN)["turns"][0]["model"] == "SyncOnly"


@pytest.mark.parametrize("own", [False, True], ids=["the context's", "the object's"])
def test_a_timeout_ends_the_call(scripted: Scripted, own: bool) -> None:
    groq = scripted([Reply(hang=True)] * 3)
    context = Context(turn_timeout_s=60 if own else 0.2, deadline_s=0.1)
    graph = build_graph(model=chat_groq(groq, timeout=0.2 if own else None))
    limit = "the timeout of its object" if own else r"0\.2 s: allow more with turn_timeout_s"
    with pytest.raises(ModelError, match=f"gave no complete reply within {limit}"):
        graph.invoke(QUESTION, context=context)


async def test_a_runaway_reply_is_cut() -> None:
    graph = build_graph(model=Endless())
    context = Context(max_turns=1, max_tokens=64)
    *_, last = [part async for part in graph.astream(QUESTION, context=context, stream_mode=["messages", "values"])]
    (turn,) = last[1]["turns"]
    assert turn["finish_reason"] == "length"
    assert len(turn["text"]) <= 64 * 32


@pytest.mark.parametrize("model", [FakeListLLM(responses=["42"]), RunnableLambda(lambda _: {"answer": 42})])
def test_a_reply_that_is_no_message_is_an_error(model: Any) -> None:
    with pytest.raises(ModelError, match=r"^\w+ returned a (str|dict), not an AIMessage: pass a chat model"):
        build_graph(model=model).invoke(QUESTION)


def test_an_object_is_traced_like_a_named_model(groq: ScriptedGroq) -> None:
    runs = RunCollectorCallbackHandler()
    build_graph(model=chat_groq(groq)).invoke(QUESTION, {"callbacks": [runs]}, context=TWO_TURNS)
    nodes = {run.name: run for run in runs.traced_runs[0].child_runs}
    (call,) = nodes["turn 2"].child_runs
    assert (call.name, call.run_type) == ("turn 2 model call", "llm")
    assert "turn:2" in (call.tags or [])
    assert nodes["turn 2"].metadata["model"] == "groq:openai/gpt-oss-20b"


def test_no_object_enters_a_checkpoint(groq: ScriptedGroq) -> None:
    saver = InMemorySaver()
    graph = build_graph(saver, model=chat_groq(groq))
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke(QUESTION, config, context=TWO_TURNS)
    stored = str(list(saver.list(config))) + str(saver.blobs) + str(saver.writes)
    assert KEY not in stored
    assert "ChatGroq" not in stored
    json.dumps(graph.get_state(config).values, default=lambda message: message.model_dump())


async def test_a_batch_with_an_object_waits_after_a_429(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted([Reply(status=429, headers={"retry-after": "0.2"}), first(), first("43")])
    questions, out = write_questions(tmp_path, "a", "b"), tmp_path / "answers.jsonl"
    summary = await batch(Path(questions), out, ONE_TURN, model=chat_groq(groq))
    assert summary.answered == 2
    assert {line["model"] for line in read_lines(out)} == {"groq:openai/gpt-oss-20b"}
