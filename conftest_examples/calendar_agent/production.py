"""Builds what production would have recorded of this agent: a table of messages in SQLite, a row a model call.

    python production.py messages.db

The rows are made up, from conversations of one to six turns; the figures of a call follow from what the agent sends.
"""

from __future__ import annotations

import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

CONVERSATIONS = 400
MODEL = "gpt-4.1-mini"
QUERY = """\
SELECT agent AS stage, conversation AS run, model, tokens_in AS input_tokens, tokens_out AS output_tokens,
       milliseconds AS latency_ms, cost_usd AS cost
FROM messages
"""

Row = tuple[str, str, str, str, int, int, float, float]


def main(path: Path) -> None:
    """Write the table to a new file, and the query that reads it beside it."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE messages (conversation TEXT, agent TEXT, model TEXT, content TEXT, tokens_in INTEGER,"
            " tokens_out INTEGER, milliseconds REAL, cost_usd REAL)"
        )
        connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(random.Random(7)))
    path.with_suffix(".sql").write_text(QUERY, encoding="utf-8")


def _rows(chance: random.Random) -> Iterator[Row]:
    for number in range(CONVERSATIONS):
        history = 0
        for _ in range(chance.choice((1, 1, 2, 2, 3, 4, 6))):
            history += chance.randint(10, 60)
            yield _call(chance, number, "router", 90 + history // 3, 1)
            for _ in range(chance.choice((2, 2, 3, 3, 4, 5))):
                # the system prompt, all tools, and the conversation so far
                yield _call(chance, number, "worker", 104 + 1385 + history, chance.randint(15, 70))
                history += chance.randint(60, 200)
            yield _call(chance, number, "worker/finalize", 150 + chance.randint(0, 60), chance.randint(25, 60))


def _call(chance: random.Random, conversation: int, agent: str, read: int, wrote: int) -> Row:
    seconds = (0.4 + read / 4000 + wrote / 80) * chance.lognormvariate(0, 0.3)
    cost = (read * 0.40 + wrote * 1.60) / 1_000_000
    return f"c{conversation}", agent, MODEL, "what was said stays here", read, wrote, 1000 * seconds, cost


if __name__ == "__main__":
    main(Path(sys.argv[1]))
