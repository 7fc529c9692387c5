"""The nouns that travel between the steps: frozen dataclasses, standard library only.

An :class:`~pytest_tokenbudget.records.exchange.Exchange` (what went over the wire) is read into a
:class:`~pytest_tokenbudget.records.call.Call`, calls become a :class:`~pytest_tokenbudget.records.sample.Sample`,
samples meet a baseline and give a :class:`~pytest_tokenbudget.records.verdict.TestResult`.
"""
