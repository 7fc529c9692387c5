"""The model's answers without the network: from a cassette or a script, timed by a virtual clock.

:mod:`~pytest_tokenbudget.replay.script` and :mod:`~pytest_tokenbudget.replay.player` answer requests (see
:mod:`pytest_tokenbudget.capture.local_answer`), :mod:`~pytest_tokenbudget.replay.clock` says when, and
:mod:`~pytest_tokenbudget.replay.cassette` is what a recording is kept in.
"""
