"""Stake: what stands behind a validator's vote, and is lost with its honesty."""
