"""pytest in a process of its own: which tests it runs is written into a file, what they measured is read from another.

A/B runs start one for each sample of each side, and a test that keeps state one for each further sample.
"""
