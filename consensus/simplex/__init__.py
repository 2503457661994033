"""Simplex: one pure state machine per epoch."""
