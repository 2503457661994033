"""A whole chain on one machine: its nodes as processes, watched and, if asked, tormented."""
