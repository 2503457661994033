"""A worker that computes one row wrongly: for ``python -m``, in place of the right one."""

import sys

from node.lease import worker
from node.lease.engine import Engine
from runtime.jobs.network import Rows


class WrongEngine(Engine):
    """Wrong in the first batch alone."""

    is_first = True

    def run(self, rows: Rows) -> Rows:
        if not self.is_first:
            return super().run(rows)
        self.is_first = False
        outputs = super().run(rows).copy()
        outputs[3, 0] ^= 1
        return outputs


if __name__ == "__main__":
    vars(worker)["Engine"] = WrongEngine
    sys.exit(worker.main())
