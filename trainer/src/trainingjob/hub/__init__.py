"""The Hugging Face Hub: what is had from it, and how it is asked. Needs huggingface-hub."""
