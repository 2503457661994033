"""Proof of computing power staking: the work, the proofs, and the module that keeps score."""
