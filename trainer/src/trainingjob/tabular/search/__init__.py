"""A search for parameters: many models, one after the other, and the best is the result."""
