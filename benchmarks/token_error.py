"""Error of the local counts against the providers' own input tokens, per set and per family of models.

Reads ``open/token_truth.jsonl.gz`` of a corpus of recorded requests: lines of JSON with ``provider``, ``api``, ``model``,
``request_model``, ``request_body``, ``provider_input_tokens``, ``with_tools``, ``with_tool_result``, ``structured`` and
``opaque_reasoning_input``. The corpus is at ``TOKENBUDGET_CORPUS``, or at ``../shared/corpus`` beside the repository.

    python benchmarks/token_error.py              tables for people
    python benchmarks/token_error.py --markdown   the tables of docs/token-counts.md
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from wire_prompts import prompt_for

from pytest_tokenbudget.providers.names import current_provider
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.tokens.openai_tokens import is_openai
from pytest_tokenbudget.tokens.profiles import profile_of

Row = dict[str, Any]
Error = tuple[int, int]
"""Counted minus reported, and reported tokens."""

APIS = {"openai.chat": "OpenAI chat", "openai.responses": "OpenAI Responses"}


def corpus() -> Path:
    """The corpus's folder; it need not exist."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    return Path(os.environ.get("TOKENBUDGET_CORPUS") or beside)


def truth(folder: Path) -> Iterator[Row]:
    """The recorded requests with a parsed body and a number above 0."""
    with gzip.open(folder / "open" / "token_truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if isinstance(row["request_body"], dict) and row["provider_input_tokens"]:
                yield row


def openai_set(row: Row) -> str:
    """The set of a row of OpenAI's."""
    if row["opaque_reasoning_input"]:
        return "encrypted reasoning (an estimate)"
    if row["structured"] and not row["with_tools"]:
        return "JSON schema"
    if not row["with_tools"]:
        return "plain"
    return "tools and results" if row["with_tool_result"] else "tools"


def errors(rows: Iterable[Row]) -> tuple[dict[str, list[Error]], dict[str, list[Error]]]:
    """Errors by set for OpenAI's models on OpenAI and Azure, and by family for all others."""
    counter = Counter()
    sets: dict[str, list[Error]] = defaultdict(list)
    families: dict[str, list[Error]] = defaultdict(list)
    for row in rows:
        prompt = prompt_for(row["api"], row["request_body"], row["request_model"] or "")
        if prompt is None:
            continue
        prompt = replace(prompt, model=row["model"] or prompt.model)
        reported = row["provider_input_tokens"]
        provider = current_provider(row["provider"])
        error = (counter.count_prompt(prompt, provider=provider).tokens - reported, reported)
        if is_openai(prompt.api, prompt.model):
            if row["provider"] in ("openai", "azure") and row["api"] in APIS:
                sets[f"{APIS[row['api']]}, {openai_set(row)}"].append(error)
                sets[f"{APIS[row['api']]}, all"].append(error)
        else:
            family = profile_of(provider, prompt.api, prompt.model).name
            families[f"{family}, {'tools' if row['with_tools'] else 'no tools'}"].append(error)
    return sets, families


def figures(found: Sequence[Error]) -> tuple[int, float, float, float]:
    """Number, share that is exact, median and 95th percentile of the relative error."""
    relative = sorted(abs(error) / reported for error, reported in found)
    exact = sum(error == 0 for error, _ in found) / len(found)
    return len(found), exact, relative[len(relative) // 2], relative[min(len(relative) - 1, int(0.95 * len(relative)))]


def table(title: str, groups: Mapping[str, Sequence[Error]], *, markdown: bool) -> Iterator[str]:
    """Lines of one table, sorted by name."""
    if markdown:
        yield f"| {title} | n | exact | median error | 95th percentile |"
        yield "| --- | --- | --- | --- | --- |"
    else:
        yield f"{title:<55}{'n':>5}{'exact':>9}{'median':>9}{'p95':>9}"
    for name in sorted(groups):
        n, exact, median, p95 = figures(groups[name])
        if markdown:
            yield f"| {name} | {n} | {exact:.1%} | {median:.1%} | {p95:.1%} |"
        else:
            yield f"{name:<55}{n:>5}{exact:>9.1%}{median:>9.1%}{p95:>9.1%}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; exit status 2 where there is no corpus."""
    parser = argparse.ArgumentParser(description="Error of the local token counts")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    options = parser.parse_args(arguments)
    folder = corpus()
    if not (folder / "open" / "token_truth.jsonl.gz").is_file():
        print(f"no corpus at {folder}: set TOKENBUDGET_CORPUS", file=sys.stderr)
        return 2
    sets, families = errors(truth(folder))
    for title, groups in (("OpenAI and Azure", sets), ("family", families)):
        print("\n".join(table(title, groups, markdown=options.markdown)), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
