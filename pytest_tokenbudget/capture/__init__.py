"""Live HTTP becomes exchanges: clients are found and watched, streams are teed, and the current stage is known.

Read it in this order: ``active`` (the recorders that watch now), ``stage`` (where the agent is), ``exchange_builder`` and
``recorder`` (one exchange, and all of a sample's), ``in_flight`` (a request on its way), ``ownership`` (whose work it is),
the client libraries (``httpx_client``, ``requests_client``, ``botocore_client``, ``aiohttp_client``, each with the local answers
for it), ``network`` and ``connections`` (what goes round them), and ``watch``, which puts all in place and takes it away.
"""
