"""One view of the result, then one file per format."""
