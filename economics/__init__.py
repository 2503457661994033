"""The agent model of the market, and the experiments behind ``loopin simulate``."""
