"""Your own check after each turn, instead of a program: it checks the arithmetic, and the next turn sees its comment.

    python examples/verifier.py "A shop sells 17 boxes of 23 pens. How many pens is that?"

`build_graph(nodes={"verify": …})` replaces the check and keeps the other nodes; a Node replaces the prompt of one.
"""

import ast
import operator
import re
import sys
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from llamaberry import Attempt, Context, Node, State, build_graph, refine_turn

OPERATORS: dict[type, Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
EQUATION = re.compile(r"(?<![\w.,^*/+×-])(\d{1,9}(?: *[+*x×-] *\d{1,9}){1,9}) *= *(-?\d+)(?![\w^]|[.,]\d)")


def verify(state: State) -> dict[str, Any]:
    """Check every equation of the newest turn, and return a hint about the first wrong one."""
    turn = state["turns"][-1]
    for left, right in EQUATION.findall(turn["text"]):
        plain = re.sub(r"\b0+(?=\d)", "", re.sub("[x×]", "*", left))
        value = evaluate(ast.parse(plain, mode="eval").body)
        if value != int(right):
            hint = f"A calculator says: {left.strip()} = {value}, not {right}."
            return {"turns": [{"index": turn["index"], "hint": hint}]}
    return {}


def evaluate(node: ast.expr) -> int:
    """Return the value of sums and products of whole numbers."""
    if isinstance(node, ast.BinOp):
        return int(OPERATORS[type(node.op)](evaluate(node.left), evaluate(node.right)))
    return int(ast.literal_eval(node))


def brief_prompt(attempt: Attempt) -> list[Any]:
    """Return the usual prompt, plus a request to be brief."""
    *messages, ask = refine_turn.prompt(attempt) or []
    return [*messages, HumanMessage(f"{ask.text}\nBe brief: three steps at the most.")]


def plain_synthesis(state: State) -> dict[str, Any]:
    """Use the newest turn's answer, without a model call."""
    answer = state["turns"][-1]["answer"] or ""
    return {"answer": answer, "concise_answer": answer, "messages": [AIMessage(answer)]}


graph = build_graph(
    nodes={
        "verify": verify,
        "refine_turn": Node(brief_prompt, refine_turn.update, refine_turn.on_failure),
        "synthesize": plain_synthesis,
    }
)

if __name__ == "__main__":
    result = graph.invoke({"query": " ".join(sys.argv[1:]) or "What is 17 * 23?"}, context=Context(max_turns=2))
    for turn in result["turns"]:
        print(f"turn {turn['index']}: {turn['answer']}")
        if "hint" in turn:
            print(f"  {turn['hint']}")
    print(result["answer"])
