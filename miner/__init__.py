"""The program on a compute provider's machine; talks to a node over RPC only."""
