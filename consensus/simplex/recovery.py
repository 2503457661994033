"""What a journal says about one epoch: the state from which a machine goes on.

Invariant: every own word of the epoch, every certificate and every floor in the journal counts;
words of others, which a journal should not hold, bind nobody.
"""

from collections.abc import Iterable

from consensus.simplex.config import Config
from consensus.simplex.messages import Certificate
from consensus.simplex.pledges import Floor, Pledges, Record
from consensus.simplex.views import Views
from primitives.types import UINT64_MAX, View


def restore(
    config: Config, position: int | None, journal: Iterable[Record]
) -> tuple[Views, Pledges]:
    """Return the certificates and the promises of ``config.epoch`` in ``journal``."""
    views, pledges = Views(config.table, config.root), Pledges()
    for record in journal:
        match record:
            case Floor(epoch, view) if epoch >= config.epoch:
                # A floor in a later epoch is a promise to be silent in this one for good.
                is_later = epoch > config.epoch
                pledges.raise_floor(View(UINT64_MAX) if is_later else view)
            case Floor():
                pass
            case _ if record.epoch != config.epoch:
                pass
            case Certificate():
                if not views.has(record):
                    views.keep(record)
            case _ if record.signer == position:
                pledges.record(record)
            case _:
                pass
    pledges.raise_floor(max(pledges.floor, views.final_view))
    views.forget(up_to=views.final_view, ballots_up_to=View(0))
    return views, pledges
