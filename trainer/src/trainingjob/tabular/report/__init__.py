"""What people look at: plots, one page with all of them, and a model card."""
