"""What an instance is told, and its configuration as a dataclass."""

import dataclasses
import json
import types
import typing
from typing import TypeVar

from .errors import Fatal

T = TypeVar("T")


class Setup:
    """What an instance is told when it is made: `inputs` and `outputs` are names of flows, in order."""

    def __init__(self, wit) -> None:
        self.text: str = wit.config
        self.inputs: list[str] = wit.inputs
        self.outputs: list[str] = wit.outputs
        self.processor: str = wit.processor
        self.shard: int = wit.shard

    def config(self, kind: type[T] = dict) -> T:
        """The configuration as a dataclass, or a `dict`. Raises `Fatal`, as `path: reason`, where it is wrong."""
        try:
            value = json.loads(self.text or "{}")
        except ValueError as error:
            raise Fatal(f"config: {error}") from None
        return _read(kind, value, "")


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list"}


def _read(kind, value, path: str):
    if dataclasses.is_dataclass(kind):
        return _object(kind, value, path)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        present = [one for one in inner if one is not type(None)]
        return None if value is None and len(present) < len(inner) else _read(present[0], value, path)
    if kind is float and type(value) is int:
        return float(value)
    plain = origin or kind
    if plain is not typing.Any and type(value) is not plain:
        raise _wrong(path, f"must be {_NAMES.get(plain, plain)}")
    if origin is list:
        return [_read(inner[0], one, f"{path}[{at}]") for at, one in enumerate(value)]
    if origin is dict:
        return {name: _read(inner[1], one, _join(path, name)) for name, one in value.items()}
    return value


def _object(kind, value, path: str):
    if type(value) is not dict:
        raise _wrong(path, "must be an object")
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise _wrong(_join(path, name), f"unknown field, expected one of {', '.join(hints)}")
    for field in dataclasses.fields(kind):
        if field.name not in value and field.default is field.default_factory is dataclasses.MISSING:
            raise _wrong(_join(path, field.name), "is missing")
    return kind(**{name: _read(hints[name], one, _join(path, name)) for name, one in value.items()})


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(path: str, reason: str) -> Fatal:
    return Fatal(f"{path or 'config'}: {reason}")
