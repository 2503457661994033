"""The ``loopin`` command: one file per noun."""
