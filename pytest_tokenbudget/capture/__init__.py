"""Live HTTP becomes exchanges: clients are watched, streams are teed, and the current stage is known."""
