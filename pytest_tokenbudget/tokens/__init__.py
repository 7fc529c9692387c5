"""Counting tokens and splitting a call's input into its parts.

A prompt is rendered into fragments (:mod:`.openai_chat`, :mod:`.openai_responses`, :mod:`.profile_render`), each fragment
is counted once by its content (:mod:`.counts`), and :mod:`.counter` makes a number or a composition of them.
"""
