"""The tools of a graph: what a caller passes to `build_graph`, and how a model learns of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.tools import BaseTool, InjectedToolCallId
from langchain_core.tools import tool as make_tool
from pydantic import BaseModel

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.objects import Model, ModelObject
from llamaberry.models.settings import full_name

Tool = BaseTool | Callable[..., Any]
"""A LangChain tool, or a function with annotations and a docstring."""

TOOL_STEPS = ("first_turn", "refine_turn")
"""The steps that may call tools: the check and the synthesis only read what they returned."""
_LOCAL = (
    "the local model does not call tools reliably: choose a model that does (--model), or build the graph without tools"
)


def inspect_tools(tools: Sequence[Tool] | None) -> tuple[BaseTool, ...]:
    """Return the tools as LangChain's objects; a function becomes one.

    Raises:
        TypeError: something is neither a tool nor a function.
        ValueError: two tools have the same name, a function lacks its docstring, or a tool reads a graph's state.
    """
    if tools is not None and (callable(tools) or not isinstance(tools, Sequence) or isinstance(tools, str)):
        raise TypeError(f"tools is a {type(tools).__name__}: pass a list of tools")
    result = tuple(map(_to_tool, tools or ()))
    if twice := [name for name, number in Counter(tool.name for tool in result).items() if number > 1]:
        raise ValueError(f"two tools have the name {', '.join(map(repr, twice))}: each needs a name of its own")
    for tool in result:
        if injected := _injected(tool):
            raise ValueError(
                f"the tool {tool.name!r} takes {', '.join(injected)} from a graph's state or runtime, which a turn "
                "does not give: take it as an argument, or from the config"
            )
    return result


def check_tools(context: Context, objects: Mapping[str, ModelObject]) -> None:
    """Raise SetupError if the context names the local model for a turn: called before the first call is paid for."""
    for step in TOOL_STEPS[: 1 if context.max_turns == 1 else 2]:
        if step not in objects and full_name(context.for_step(step).model) == "local":
            raise SetupError(_LOCAL)


def bind_tools(model: Model, name: str, tools: Sequence[BaseTool], *, may_call: bool = True) -> Model:
    """Return the model with the tools in each request; without `may_call` it reads them, and may not call them.

    What `bind`, `with_config`, `with_retry` and `with_fallbacks` have wrapped around a chat model stays around it.

    Raises:
        SetupError: the model calls no tools.
    """
    if name.startswith("local:"):
        raise SetupError(_LOCAL)
    try:
        return cast("Model", _bind(model, tools, {} if may_call else {"tool_choice": "none"}))
    except NotImplementedError as error:
        raise SetupError(
            f"{name} cannot call tools (its class has no bind_tools): choose a model that can, or build the graph "
            "without tools"
        ) from error


def _bind(model: Any, tools: Sequence[BaseTool], options: Mapping[str, Any]) -> Any:
    if isinstance(model, RunnableBindingBase):
        return model.model_copy(update={"bound": _bind(model.bound, tools, options)})
    if isinstance(model, RunnableWithFallbacks):
        fallbacks = [_bind(fallback, tools, options) for fallback in model.fallbacks]
        return model.model_copy(update={"runnable": _bind(model.runnable, tools, options), "fallbacks": fallbacks})
    if not hasattr(model, "bind_tools"):
        raise NotImplementedError(type(model).__name__)
    return model.bind_tools(list(tools), **options)


def _to_tool(tool: object) -> BaseTool:
    if isinstance(tool, BaseTool):
        return tool
    if not callable(tool) or isinstance(tool, type):
        raise TypeError(f"{tool!r} is no tool: pass LangChain tools, or functions with annotations and a docstring")
    try:
        return make_tool(tool)
    except ValueError as error:
        raise ValueError(f"{getattr(tool, '__name__', tool)!r} cannot be a tool: {error}") from error


def _injected(tool: BaseTool) -> list[str]:
    """Return the arguments of a tool that a graph would have to give."""
    given, asked = tool.get_input_schema(), tool.tool_call_schema
    if isinstance(asked, dict) or not issubclass(given, BaseModel) or not issubclass(asked, BaseModel):
        return []  # a schema in JSON describes only what a model gives
    unknown = {name: field.metadata for name, field in given.model_fields.items() if name not in asked.model_fields}
    return [name for name, metadata in unknown.items() if InjectedToolCallId not in metadata]
