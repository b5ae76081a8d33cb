"""Llamaberry as a tool of LangChain's `create_agent`; its progress appears in the agent's stream.

python examples/tool.py "Ask your tool: which is larger, 17 * 23 or 19 * 21?"
"""

import sys

from langchain.agents import create_agent

from llamaberry import Context, as_tool

agent = create_agent(
    "groq:openai/gpt-oss-120b",
    tools=[as_tool(Context(max_turns=2))],
    system_prompt="Pass hard questions to your tool unchanged; then report its answer.",
)

if __name__ == "__main__":
    question = {"messages": [{"role": "user", "content": " ".join(sys.argv[1:])}]}
    for mode, part in agent.stream(question, stream_mode=["custom", "values"]):
        if mode == "custom":
            print(f"{part['type']}: {part.get('turn') or part.get('reason')}")
        else:
            state = part
    print(state["messages"][-1].text)
    for message in state["messages"]:
        for turn in (getattr(message, "artifact", None) or {}).get("turns", []):
            print(f"turn {turn['index']}: {turn['answer']}")
