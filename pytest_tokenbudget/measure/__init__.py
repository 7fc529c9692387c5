"""From what was captured to a sample: exchanges are read, counted and priced, and become metrics."""
