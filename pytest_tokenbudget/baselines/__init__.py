"""Stored measurements: where they are, how they are written, and how a run changes them.

Read in this order: :mod:`paths` (which file), :mod:`observe` (samples become one session's values), :mod:`evolve` (a
session changes an entry), :mod:`store` (entries are read and written), :mod:`format` (bytes), :mod:`document` and
:mod:`derive` (what is stored of an entry, and what follows from it).
"""
