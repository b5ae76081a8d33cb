"""Llamaberry: a question answered in turns, as a LangGraph graph.

    from llamaberry import Context, graph

    result = graph.invoke({"query": "…"}, context=Context(max_turns=3))
    print(result["answer"])

The names are loaded when they are first used, so that what needs no graph (`llamaberry --version`) does not wait for
LangGraph.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llamaberry.batch.run import BatchSummary as BatchSummary
    from llamaberry.batch.run import batch as batch
    from llamaberry.graph.answers import normalise as normalise
    from llamaberry.graph.calls import Call as Call
    from llamaberry.graph.calls import Usage as Usage
    from llamaberry.graph.check import Check as Check
    from llamaberry.graph.context import Context as Context
    from llamaberry.graph.errors import LlamaberryError as LlamaberryError
    from llamaberry.graph.errors import ModelError as ModelError
    from llamaberry.graph.errors import SetupError as SetupError
    from llamaberry.graph.events import CheckFinished as CheckFinished
    from llamaberry.graph.events import CheckStarted as CheckStarted
    from llamaberry.graph.events import RefiningEnded as RefiningEnded
    from llamaberry.graph.events import ToolFinished as ToolFinished
    from llamaberry.graph.events import ToolStarted as ToolStarted
    from llamaberry.graph.events import TurnFinished as TurnFinished
    from llamaberry.graph.events import TurnStarted as TurnStarted
    from llamaberry.graph.review import Decision as Decision
    from llamaberry.graph.state import Input as Input
    from llamaberry.graph.state import Output as Output
    from llamaberry.graph.state import State as State
    from llamaberry.graph.tool_calls import ToolCall as ToolCall
    from llamaberry.graph.turn import Step as Step
    from llamaberry.graph.turn import Turn as Turn
    from llamaberry.graph.workflow import ReasoningGraph as ReasoningGraph
    from llamaberry.graph.workflow import build_graph as build_graph
    from llamaberry.graph.workflow import graph as graph
    from llamaberry.models.client import ModelReply as ModelReply
    from llamaberry.models.objects import Model as Model
    from llamaberry.nodes._node import Attempt as Attempt
    from llamaberry.nodes._node import Node as Node
    from llamaberry.nodes.first_turn import first_turn as first_turn
    from llamaberry.nodes.refine_turn import refine_turn as refine_turn
    from llamaberry.nodes.synthesize import synthesize as synthesize
    from llamaberry.nodes.verify import verify as verify
    from llamaberry.presets import PRESETS as PRESETS
    from llamaberry.presets import Preset as Preset
    from llamaberry.sandbox import run_program as run_program
    from llamaberry.stream import RunFinished as RunFinished
    from llamaberry.stream import RunPaused as RunPaused
    from llamaberry.stream import StreamEvent as StreamEvent
    from llamaberry.stream import Token as Token
    from llamaberry.stream import astream_events as astream_events
    from llamaberry.stream import stream_events as stream_events
    from llamaberry.tool import as_tool as as_tool

    __version__: str

_MODULES = {
    "batch": ("BatchSummary",),
    "graph.answers": ("normalise",),
    "graph.calls": ("Call", "Usage"),
    "graph.check": ("Check",),
    "graph.context": ("Context",),
    "graph.errors": ("LlamaberryError", "ModelError", "SetupError"),
    "graph.events": (
        *("CheckFinished", "CheckStarted", "RefiningEnded"),
        *("ToolFinished", "ToolStarted", "TurnFinished", "TurnStarted"),
    ),
    "graph.review": ("Decision",),
    "graph.state": ("Input", "Output", "State"),
    "graph.tool_calls": ("ToolCall",),
    "graph.turn": ("Step", "Turn"),
    "graph.workflow": ("ReasoningGraph", "build_graph"),
    "models.client": ("ModelReply",),
    "models.objects": ("Model",),
    "nodes._node": ("Attempt", "Node"),
    "nodes.first_turn": ("first_turn",),
    "nodes.refine_turn": ("refine_turn",),
    "nodes.synthesize": ("synthesize",),
    "nodes.verify": ("verify",),
    "presets": ("PRESETS", "Preset"),
    "sandbox": ("run_program",),
    "stream": ("RunFinished", "RunPaused", "StreamEvent", "Token", "astream_events", "stream_events"),
    "tool": ("as_tool",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [*sorted(_HOMES), "__version__", "batch", "graph"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("llamaberry")
    if name in _HOMES:
        return getattr(import_module(f"llamaberry.{_HOMES[name]}"), name)
    if name == "batch":  # a package that can be called
        return import_module("llamaberry.batch")
    raise AttributeError(f"module 'llamaberry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """`graph` is the compiled graph, though the folder of the same name is a package below this one.

    The import system binds a subpackage to its parent by its name; here that name is taken.
    """

    @property
    def graph(self) -> Any:
        compiled = import_module("llamaberry.graph.workflow").graph
        compiled.__name__ = "llamaberry.graph"  # `import llamaberry.graph.state as s` looks here for the package
        return compiled

    @graph.setter
    def graph(self, value: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Face
