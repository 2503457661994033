"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("loopin")
    except PackageNotFoundError:
        return "0.0.0+unpackaged"


VERSION = _version()
