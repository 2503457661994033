"""Run simulated histories: ``python -m tests.simulation --seed N`` or ``--seeds A..B``."""

import argparse
import re
import sys

from tests.simulation.simulator import Failure, Simulator


def main() -> int:
    """Run the histories that the command line names; return how many failed, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="one history, with its outcome in full")
    which.add_argument("--seeds", type=seeds_of, help="a range A..B, B not included")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return run(range(arguments.seed, arguments.seed + 1), is_loud=True)
    return run(arguments.seeds, is_loud=False)


def seeds_of(text: str) -> range:
    """Return the seeds that ``A..B`` names: none is a mistake, not a success."""
    found = re.fullmatch(r"([0-9]{1,18})\.\.([0-9]{1,18})", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds; 0..100 would")
    return range(int(found[1]), int(found[2]))


def run(seeds: range, *, is_loud: bool) -> int:
    """Run each seed; print failures as they come and a summary at the end."""
    failed = 0
    for seed in seeds:
        try:
            outcome = Simulator(seed).run()
        except Failure as failure:
            failed += 1
            print(failure, file=sys.stderr)
            continue
        if is_loud:
            print(outcome)
        elif (seed - seeds.start + 1) % 100 == 0:
            print(
                f"{seed - seeds.start + 1} of {len(seeds)} histories, {failed} failed", flush=True
            )
    print(f"{len(seeds)} histories, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
