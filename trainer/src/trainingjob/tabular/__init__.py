"""Models fitted to tables."""
