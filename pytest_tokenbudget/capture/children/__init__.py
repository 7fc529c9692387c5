"""Child processes that run Python: what they see goes to the session through a spool.

``environment.py`` has children run ``on_path/sitecustomize.py``; ``child.py`` records in the child and appends to its file;
``spool.py`` reads the files in the session; ``frames.py`` is the form in which they are written.
"""
