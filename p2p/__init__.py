"""Moves bytes between authenticated peers; knows no block."""
