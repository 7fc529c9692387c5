"""The HTML page: geometry is computed here, markup stands in ``templates/``, and no script runs in the reader's browser."""
