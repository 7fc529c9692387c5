"""What was not seen of a sample, or belongs to something else: put together when the sample is read."""

from __future__ import annotations

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import bypasses, unwatched_clients
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.traffic import host_rules
from pytest_tokenbudget.records.sample import Unseen


def unseen_of(item: pytest.Item, recorder: Recorder, context: SessionContext) -> Unseen:
    """Put together what a sample's recorder and the watched clients know.

    Args:
        item: The test.
        recorder: The recorder of its sample.
        context: The session's tools.
    """
    connections, rules = recorder.connections.noted(), host_rules(context)
    return Unseen(
        connections=connections,
        model_connections=tuple(one for one in connections if rules.serves_models(one.host, one.port)),
        clients=unwatched_clients(),
        bypasses=(*bypasses(), *dict.fromkeys(recorder.connections.bypasses)),
        outside=context.fixture_calls.seen_by(item, recorder),
    )
