"""The state transition function: what a block does to the state."""
