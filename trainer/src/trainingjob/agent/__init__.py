"""The entry point of a pod's image: gets the work from the operator, runs it, and reports until the pod is ended."""
