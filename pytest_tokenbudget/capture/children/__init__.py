"""Child processes that run Python: what they see goes to the session through a spool.

``child_processes.py`` is what the session has: it gives children what they need, and reads what they saw. ``child.py`` records in the
child. Between them stand ``spool.py`` (files), ``asking.py`` and ``answering.py`` (questions before a request leaves).
"""
