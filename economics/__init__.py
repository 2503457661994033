"""The agent model and the experiments behind `loopin simulate`."""
