"""One module for each library: how its models are trained, stored and asked."""
