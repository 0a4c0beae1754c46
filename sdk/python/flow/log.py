"""Lines kept for each processor: a constant message, what changes in fields."""

from wit_world.imports import log as wit


def debug(message: str, **fields: object) -> None:
    _log(wit.Level.DEBUG, message, fields)


def info(message: str, **fields: object) -> None:
    _log(wit.Level.INFO, message, fields)


def warn(message: str, **fields: object) -> None:
    _log(wit.Level.WARN, message, fields)


def error(message: str, **fields: object) -> None:
    _log(wit.Level.ERROR, message, fields)


def _log(level: wit.Level, message: str, fields: dict) -> None:
    wit.log(level, message, [(name, str(value)) for name, value in fields.items()])
