"""One file per group of questions about the market."""
