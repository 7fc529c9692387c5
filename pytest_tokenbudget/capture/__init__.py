"""Live HTTP becomes exchanges: clients are found and watched, streams are teed, and the current stage is known.

Read it in this order: ``active`` (who is watching), ``stages`` (where the agent is), ``sending`` and ``recorder`` (one
exchange, and all of a sample's), the client libraries (``httpx_family``, ``requests_session``, ``aiohttp_client``,
``botocore_session``), and ``watch``, which puts them in place and takes them away.
"""
