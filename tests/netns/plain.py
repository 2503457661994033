"""Switch the offloads of one interface off: ``python -m tests.netns.plain INTERFACE``."""

import sys

from tests.netns.switch import switch_offloads_off

if __name__ == "__main__":
    switch_offloads_off(sys.argv[1])
