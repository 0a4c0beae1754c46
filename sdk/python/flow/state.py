"""Bytes that belong to the shard. Writes become durable with what a batch decides, or not at all; only `process`, `tick`
and `migrate` may write. What cannot be written raises `Fatal`."""

from typing import Optional

from componentize_py_types import Err
from wit_world.imports import state as wit

from .errors import Fatal


def get(key: bytes) -> Optional[bytes]:
    """The value of a key."""
    return wit.get(key)


def set(key: bytes, value: bytes) -> None:
    """Sets a key."""
    _written(wit.set, key, value)


def delete(key: bytes) -> None:
    """Takes a key away; one that is absent is no error."""
    _written(wit.delete, key)


def scan(prefix: bytes, after: Optional[bytes] = None, limit: int = 100) -> list[tuple[bytes, bytes]]:
    """Entries whose key begins with `prefix` and sorts after `after`, in order; the host may give fewer than `limit`."""
    return [(entry.key, entry.value) for entry in wit.scan(prefix, after, limit)]


def _written(write, *arguments: bytes) -> None:
    try:
        write(*arguments)
    except Err as error:
        why = error.value
        full = isinstance(why, wit.StateError_Full)
        reason = f"full: limit passed: state_bytes={why.value}" if full else f"denied: {why.value}"
        raise Fatal(f"state is {reason}") from None
