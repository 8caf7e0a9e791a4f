"""Where a run's files go."""
