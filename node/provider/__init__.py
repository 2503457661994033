"""A compute provider's program: it follows the chain, proves in time, says what happens."""
