"""Fine-tuning of language models with TRL."""
