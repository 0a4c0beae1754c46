"""What the author of a processor plugin in Python writes against.

A plugin is a class with `info`, `__init__(self, setup)` and `process(self, batch)`, and one line that makes it the
component: `Lifecycle = component(Mask)`. The host owns the events; a plugin reads only what it asks for and answers
with actions. Ask for columns: one call for the whole batch.
"""

import sys
from pathlib import Path

try:
    import wit_world
except ImportError:
    # Natively the generated names come from here; in a component they are the host's.
    sys.path.append(str(Path(__file__).parent / "bindings"))

from . import log, state
from .actions import KEEP, dead_letter, drop, emit, forward, forward_all, rewrite
from .batch import Batch
from .config import Setup
from .errors import Fatal, Reject, Retry
from .events import Event, Timestamp, Uri, UriReference
from .lifecycle import Info, component, migrate, reconfigure, timer

__all__ = [
    "Batch", "Event", "Fatal", "Info", "KEEP", "Reject", "Retry", "Setup", "Timestamp", "Uri", "UriReference",
    "component", "dead_letter", "drop", "emit", "forward", "forward_all", "log", "migrate",
    "reconfigure", "rewrite", "state", "timer",
]
