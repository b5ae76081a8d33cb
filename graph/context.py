"""The settings of one run. API keys and addresses are never among them: those are environment variables."""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from llamaberry.graph.answer_schema import AnswerSchema
from llamaberry.graph.system_prompt import SYSTEM_PROMPT

PROGRAM_TEMPERATURE = 0.2
"""The highest sampling temperature of a program or JSON: variety helps reasoning, and breaks code."""
StepName = Literal["first_turn", "verify", "refine_turn", "synthesize"]
STEPS: tuple[StepName, ...] = get_args(StepName)
"""The steps that call a model."""
MAX_INSTRUCTION_CHARS = 20_000
"""The longest instruction of a step."""
MAX_TOKENS = 65_536
"""The highest limit of a reply: no model of Groq's writes more at once."""
MAX_SYSTEM_PROMPT_CHARS = 100_000


class Context(BaseModel):
    """The settings of one run: model, turns, when to stop. Frozen; an unknown or invalid value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    model: str = Field(
        default="auto",
        min_length=1,
        title="Model",
        description='"auto" (Groq if GROQ_API_KEY is set, otherwise the local model), "local", or "provider:model", '
        'such as "groq:openai/gpt-oss-120b". A name without a provider is a Groq model.',
    )
    refine_model: str | None = Field(
        default=None,
        min_length=1,
        title="Model of the refine turns",
        description="Another model for the refine turns, as a second opinion; none means the model above.",
    )
    verify_model: str | None = Field(
        default=None,
        min_length=1,
        title="Model of the check",
        description="Another model for the program that checks the answer; none means the model above.",
    )
    synthesis_model: str | None = Field(
        default=None,
        min_length=1,
        title="Model of the synthesis",
        description="Another model for the synthesis; none means the model above.",
    )
    max_turns: int = Field(
        default=3,
        ge=1,
        le=10,
        title="Turns",
        description="Maximum number of turns before the synthesis. With 1, the first turn's answer is the answer.",
    )
    verify: Literal["program", "parallel", "none"] = Field(
        default="program",
        title="Check",
        description="How answers are checked: by a program that is written from the question and run in a sandbox; "
        "by one that is written in parallel with the first turn, which is faster, but costs a call for a text, too; "
        "or not at all (none).",
    )
    second_turn: Literal["review", "independent"] = Field(
        default="review",
        title="Turns without a program",
        description="What a refine turn does when no program checks the answer: review the turns before it, or answer "
        "without seeing them.",
    )
    early_stop: bool = Field(
        default=False,
        title="Stop on agreement",
        description="Stop refining when two consecutive turns give the same answer.",
    )
    temperature: float = Field(
        default=0.7,
        ge=0,
        le=2,
        title="Temperature",
        description="Sampling temperature of the model. 0 gives the most repeatable replies.",
    )
    max_tokens: int = Field(
        default=2048,
        ge=64,
        le=MAX_TOKENS,
        title="Tokens per reply",
        description="Maximum number of tokens per reply. A provider may count them against its rate limit in advance.",
    )
    token_budget: int | None = Field(
        default=None,
        ge=1,
        title="Token budget",
        description="Tokens of the whole run, prompts and replies, after which no further refine turn starts.",
    )
    max_cost_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        title="Cost limit",
        description="US dollars of the whole run, at the provider's list prices, after which no further refine turn "
        "starts. An error if the price of a model is not known.",
    )
    deadline_s: float | None = Field(
        default=None,
        gt=0,
        title="Deadline",
        description="Seconds of the whole run after which no further refine turn starts.",
    )
    turn_timeout_s: float = Field(
        default=60,
        gt=0,
        le=3600,
        title="Timeout per call",
        description="Timeout of one model call, in seconds. The local model may be silent ten times as long.",
    )
    max_tool_calls: int = Field(
        default=8,
        ge=0,
        le=50,
        title="Tool calls per turn",
        description="Maximum number of tool calls of one turn, after which the model has to answer. Only for a graph "
        "that was built with tools.",
    )
    tool_timeout_s: float = Field(
        default=30,
        gt=0,
        le=3600,
        title="Timeout per tool call",
        description="Timeout of one tool call, in seconds. Only for a graph that was built with tools.",
    )
    review: Literal["none", "each_turn", "before_synthesis"] = Field(
        default="none",
        title="Review",
        description="When the run pauses for a person: never, after each turn, or only before the synthesis. "
        "Pauses need a checkpointer.",
    )
    system_prompt: str = Field(
        default=SYSTEM_PROMPT,
        min_length=1,
        max_length=MAX_SYSTEM_PROMPT_CHARS,
        title="System prompt",
        description="System prompt of the first turn, the refine turns and the synthesis.",
        json_schema_extra={
            "langgraph_nodes": ["first_turn", "refine_turn", "synthesize"],
            "langgraph_type": "prompt",
        },
    )
    instructions: dict[StepName, Annotated[str, Field(min_length=1, max_length=MAX_INSTRUCTION_CHARS)]] = Field(
        default={},
        title="Instructions",
        description="Instructions of your own, by step (first_turn, verify, refine_turn, synthesize), in place of the "
        "built-in ones: what the step does with the question, and under which headings it replies.",
        json_schema_extra={
            "langgraph_nodes": list(STEPS),
            "properties": {
                step: {
                    "title": f"Instruction of {step}",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_INSTRUCTION_CHARS,
                    "langgraph_nodes": [step],
                    "langgraph_type": "prompt",
                }
                for step in STEPS
            },
        },
    )

    answer_schema: AnswerSchema = Field(
        default=None,
        title="Schema of the answer",
        description="JSON schema for the output `structured`: the final answer is also written as JSON that fits it.",
    )

    def __hash__(self) -> int:
        """Return a hash of all settings: pydantic's own fails at a dict."""
        return hash(self.model_dump_json())

    def for_step(self, step: str) -> "Context":
        """Return the settings of a step's call: its own model, and for a program or JSON a low temperature."""
        own = {
            "refine_turn": self.refine_model,
            "verify": self.verify_model,
            "synthesize": self.synthesis_model,
            "structure": self.synthesis_model,
        }
        changes: dict[str, Any] = {"model": own[step]} if own.get(step) else {}
        if step in ("verify", "structure"):
            changes["temperature"] = min(self.temperature, PROGRAM_TEMPERATURE)
        return self.model_copy(update=changes) if changes else self


def resolve_context(context: object, configurable: Mapping[str, Any] | None = None) -> Context:
    """Return the Context of this run, whatever context object the graph was run with.

    Without one, the settings among the config's `configurable` count, as on a server. Inside a parent graph, the object
    is the parent's own context: its attribute or key `llamaberry` is used if it has one, a Context or a dict of
    settings. Its other fields are not read.

    Raises:
        pydantic.ValidationError: a setting is unknown or out of its bounds.
    """
    configurable = configurable or {}
    in_parent = "|" in configurable.get("checkpoint_ns", "")  # then the config is the parent's, too
    settings = {} if in_parent else {key: configurable[key] for key in Context.model_fields if key in configurable}
    if isinstance(context, Context):
        if ignored := [key for key, value in settings.items() if getattr(context, key) != value]:
            names = ", ".join(ignored)
            _warn(f'config["configurable"] has settings ({names}) that are ignored: pass them in the context')
        return context
    if context is None:
        return Context.model_validate(settings)
    if isinstance(context, Mapping) and context and context.keys() <= Context.model_fields.keys():
        _warn(
            f"the context of a parent graph sets {', '.join(context)}: Llamaberry reads only its key `llamaberry`, "
            'so write {"llamaberry": {…}} if these are its settings'
        )
    own: Any = context.get("llamaberry") if isinstance(context, Mapping) else getattr(context, "llamaberry", None)
    return Context.model_validate(own if own is not None else {})


def _warn(message: str) -> None:
    """Warn; Python prints the same warning once."""
    warnings.warn(message, stacklevel=3)
