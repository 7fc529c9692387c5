"""Base and head interleaved in one session: the comparison that no drift of a provider lies between.

A base is checked out (``worktree``), both sides are collected and run in processes of their own (``arms``), the samples
come back through a file (``transcript``), ``interleave`` goes on until every gate is decided, ``verdicts`` judges.
"""
