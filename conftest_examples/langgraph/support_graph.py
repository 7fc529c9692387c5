"""A support agent as a LangGraph graph: a router, then either a worker that loops over its tools, or a short answer."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

MODEL = "gpt-4.1-mini"


class SupportState(MessagesState):
    """The conversation, and what kind of request it is."""

    kind: str


@tool
def find_order(number: str) -> str:
    """Finds an order by its number and tells its state."""
    return f"order {number}: sent on Monday"


@tool
def open_return(number: str, reason: str) -> str:
    """Opens a return for an order and gives the number of the return."""
    return f"return R-{number} opened: {reason}"


TOOLS = [find_order, open_return]


def build_graph(base_url: str, api_key: str = "unused") -> Any:
    """Compile the graph; the nodes below are its functions."""
    model = ChatOpenAI(model=MODEL, base_url=base_url, api_key=api_key, temperature=0)  # type: ignore[arg-type]

    def route(state: SupportState) -> dict[str, Any]:
        system = SystemMessage("Answer with one word: order, or other.")
        return {"kind": str(model.invoke([system, *state["messages"]]).content)}

    def work(state: SupportState) -> dict[str, Any]:
        system = SystemMessage("You are the desk of a shop. Look an order up before you speak of it.")
        return {"messages": [model.bind_tools(TOOLS).invoke([system, *state["messages"]])]}

    def decline(state: SupportState) -> dict[str, Any]:
        system = SystemMessage("Say in one sentence that you only know about orders.")
        return {"messages": [model.invoke([system, *state["messages"]])]}

    def choose(state: SupportState) -> Literal["work", "decline"]:
        return "work" if state["kind"] == "order" else "decline"

    def loop(state: SupportState) -> str:
        return "tools" if getattr(state["messages"][-1], "tool_calls", None) else END

    graph = StateGraph(SupportState)
    graph.add_node("route", route)
    graph.add_node("work", work)
    graph.add_node("decline", decline)
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_edge(START, "route")
    graph.add_conditional_edges("route", choose)
    graph.add_conditional_edges("work", loop)
    graph.add_edge("tools", "work")
    graph.add_edge("decline", END)
    return graph.compile()


def answer(graph: Any, question: str) -> str:
    """Ask the graph one question."""
    return str(graph.invoke({"messages": [HumanMessage(question)]})["messages"][-1].content)
