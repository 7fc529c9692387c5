"""An exchange becomes a reading: one module per API, recognised by path and body shape, never by host alone.

Start at :mod:`pytest_tokenbudget.providers.registry`; :mod:`pytest_tokenbudget.providers.format` is the shape that a format has.
"""
