"""The folder that stands in front of ``PYTHONPATH``: child processes run and import these files from there."""
