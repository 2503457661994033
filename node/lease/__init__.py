"""The lease service: a client reaches its provider, which computes, and both answer on chain."""
