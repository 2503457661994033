"""One file per library that can run the forward pass; each is tried before it is trusted."""
