"""An agent that asks three experts about a text. They do not wait for each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai

EXPERTS = ("You check the grammar.", "You check the facts.", "You check the tone.")
EXPERTS_AT_ONCE = 3
"""How many experts are asked at the same time. Try 1: nothing is read or written more, but the user waits three times as long."""


def review(client: openai.OpenAI, text: str) -> list[str]:
    """Ask each expert about the text."""

    def ask(expert: str) -> str:
        reply = client.chat.completions.create(
            model="gpt-4.1-mini",
            messages=[{"role": "system", "content": expert}, {"role": "user", "content": f"Does it fit? {text}"}],
        )
        return reply.choices[0].message.content or ""

    with ThreadPoolExecutor(EXPERTS_AT_ONCE) as pool:
        return list(pool.map(ask, EXPERTS))
