"""An order desk in DSPy: a classifier, then a ReAct module with two tools. It knows nothing of the plugin."""

from __future__ import annotations

from typing import Literal

import dspy


class Sort(dspy.Signature):
    """Say what a customer's message is about."""

    message: str = dspy.InputField()
    kind: Literal["order", "other"] = dspy.OutputField()


class Help(dspy.Signature):
    """Help a customer with an order. Look it up before you speak of it."""

    message: str = dspy.InputField()
    answer: str = dspy.OutputField(desc="one short sentence")


def find_order(number: str) -> str:
    """Finds an order by its number and tells its state."""
    return f"order {number}: sent on Monday"


def build_model(base_url: str, api_key: str = "unused") -> dspy.LM:
    """Make the model. A cache in the process would answer instead of the model, so a test has it off."""
    return dspy.LM("openai/gpt-4.1-mini", api_base=base_url, api_key=api_key, cache=False, temperature=0)


class OrderDesk(dspy.Module):  # type: ignore[misc]  # DSPy has no types
    """Answers one message."""

    def __init__(self) -> None:
        super().__init__()
        self._sort = dspy.Predict(Sort)
        self._help = dspy.ReAct(Help, tools=[find_order], max_iters=4)

    def sort(self, message: str) -> str:
        """Say what the message is about."""
        return str(self._sort(message=message).kind)

    def help(self, message: str) -> str:
        """Answer a message about an order."""
        return str(self._help(message=message).answer)

    def forward(self, message: str) -> str:
        """Answer the message, or decline."""
        return self.help(message) if self.sort(message) == "order" else "I only know about orders."
