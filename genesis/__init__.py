"""How the chain begins."""
