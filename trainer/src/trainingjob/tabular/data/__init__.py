"""From a file to numbers that a model takes."""
