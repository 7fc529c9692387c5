"""Live HTTP becomes exchanges: clients are found and watched, streams are teed, and the current stage is known.

One call's way: ``watch`` has put a door in the place of a client's ``send`` (``patching``). The door (``httpx_client``,
``urllib3_clients``, ..., a module for each family) asks ``in_flight`` to accompany the request; each recorder that watches
(``active``) begins an exchange (``exchange_builder``), which notes what passes, and ``recorder`` gives the exchanges of a
sample. ``ownership`` says whose work it is, ``stage`` where the agent is, ``network`` what goes round the clients.
"""
