"""Blocks and state at rest."""
