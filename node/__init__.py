"""The only place where everything meets."""
