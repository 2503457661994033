"""Hypothesis profiles: dev on a desk, ci fixed for good, nightly deep. And logs as they were."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

# Small products gain nothing from BLAS threads, and wait for each other on a busy machine. Numpy
# reads this when it is first imported, which is later than here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shared two-core machine is slow at random; a deadline would make that a failure of the code.
settings.register_profile(
    "dev",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    deadline=None,
    max_examples=5_000,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a command's ``--log`` does to the whole process: the next test hears warnings."""
    loggers = [logging.getLogger(name) for name in (None, "libp2p")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        for handler in logger.handlers[:]:
            # Those of pytest itself come and go around this.
            if handler not in handlers and type(handler) is logging.StreamHandler:
                logger.removeHandler(handler)
