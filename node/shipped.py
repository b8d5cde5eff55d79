"""Where the files that come with the project are: in the wheel below this package, in a checkout beside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """The path of a shipped configuration file or folder: ``shipped("hardware", "laptop.toml")``."""
    inside = _PACKAGE / "_configs"
    return (inside if inside.is_dir() else _PACKAGE.parent / "configs").joinpath(*parts)
