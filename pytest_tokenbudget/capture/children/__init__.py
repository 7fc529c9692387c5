"""Child processes that run Python: what they see goes to the session through a spool.

``child_processes.py`` is what the session has: it gives children what they need (``started.py``, ``spool_directory.py``). The
rest is imported with the first child: ``spool.py`` reads what children wrote, ``child.py`` records in the child, ``asking.py``
and ``answering.py`` stand at the two ends of a question before a request leaves, and ``unwatched.py`` says what was not seen.
"""
