"""The methods, one file per namespace, and nothing else."""
