"""Counting tokens and splitting a call's input into its parts.

A prompt is rendered into fragments (:mod:`.openai_tokens`, :mod:`.profiles`, :mod:`.chat_template`), each fragment
is counted once by its content (:mod:`.counts`), and :mod:`.counter` makes a number or a composition of them.
"""
