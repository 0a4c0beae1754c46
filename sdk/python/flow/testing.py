"""Stands in for the host in a test that runs natively. Never part of a component."""

import json
from types import SimpleNamespace

from componentize_py_types import Err
from wit_world.imports import events as wit
from wit_world.imports import log as wit_log
from wit_world.imports import state as wit_state

from .errors import Failure
from .events import Event, attributes_to_host
from .lifecycle import migrate, reconfigure, timer


class _Handle:
    """A batch that lies in the test."""

    def __init__(self, records: list, flow: str, input: int, partition: int) -> None:
        self._records, self._flow, self._input, self._partition = records, flow, input, partition

    def len(self): return len(self._records)
    def flow(self): return self._flow
    def input(self): return self._input
    def partition(self): return self._partition
    def is_event(self, index): return isinstance(self._records[index], Event)
    def key(self, index): return None
    def timestamp(self, index): return 0
    def headers(self, index): return []
    def attributes(self, name): return [self.attribute(at, name) for at in range(len(self._records))]
    def data_all(self): return [self.data(at) for at in range(len(self._records))]
    def data_sizes(self): return [None if data is None else len(data) for data in self.data_all()]
    def event(self, index): return self._records[index].to_host() if self.is_event(index) else None
    def __enter__(self): return self
    def __exit__(self, *_): return None

    def data(self, index):
        record = self._records[index]
        return record.data if isinstance(record, Event) else record

    def attribute(self, index, name):
        if not self.is_event(index):
            return None
        found = {name: value for name, value in self._records[index].attributes.items()}.get(name)
        return None if found is None else attributes_to_host({name: found})[0].value


class Host:
    """A plugin under test: `Host(Lifecycle, {"n": 1}).process(event, …)` gives actions, or raises what the plugin did.

    A record that is no CloudEvent is given as `bytes`. State of a call that fails is discarded.
    """

    def __init__(self, lifecycle: type, config: object = None, *, inputs=("in",), outputs=("out",)) -> None:
        self.state: dict[bytes, bytes] = {}
        self.lines: list[tuple[str, dict]] = []
        self._lifecycle, self._inputs, self._outputs = lifecycle, list(inputs), list(outputs)
        self._config = "" if config is None else json.dumps(config)
        self._may_write = False
        wit_state.get = lambda key: self.state.get(key)
        wit_state.set = self._set
        wit_state.delete = self._delete
        wit_state.scan = self._scan
        wit_log.log = lambda level, message, fields: self.lines.append((message, dict(fields)))
        self.info = lifecycle().describe()
        self.restart()

    def restart(self) -> None:
        """A new instance on the committed state."""
        setup = SimpleNamespace(
            config=self._config, inputs=self._inputs, outputs=self._outputs, processor="processor.under.test", shard=0)
        _raised(lambda: self._lifecycle().init(setup))

    def process(self, *records, flow: str = "in", input: int = 0, partition: int = 0) -> list:
        """Hands over a batch, and checks the answer as the host does."""
        handle = _Handle(list(records), flow, input, partition)
        return self._writing(lambda: self._check(self._lifecycle().process(handle), records))

    def tick(self, now: int) -> list:
        """Lets the plugin act at a moment, milliseconds since 1970."""
        return self._writing(lambda: self._check(timer(self._lifecycle)().tick(now), ()))

    def reconfigure(self, config: object) -> None:
        """Hands over another configuration."""
        _raised(lambda: reconfigure(self._lifecycle)().reconfigure(json.dumps(config)))
        self._config = json.dumps(config)

    def migrate(self, from_version: str) -> None:
        """Hands over the state, which another version left."""
        self._writing(lambda: migrate(self._lifecycle)().migrate(from_version, self._config))

    def _writing(self, call):
        before, self._may_write = dict(self.state), True
        try:
            return _raised(call)
        except BaseException:
            self.state = before
            raise
        finally:
            self._may_write = False

    def _check(self, actions: list, records: tuple) -> list:
        named = {at for action in actions for at in _named(action, len(records))}
        unknown = named - set(range(len(records)))
        assert not unknown, f"contract: there is no such event: {sorted(unknown)}"
        forgotten = set() if self.info.unnamed_dropped else set(range(len(records))) - named
        assert not forgotten, f"contract: no action names event {min(forgotten)}"
        outputs = [_output(action) for action in actions]
        assert all(output < len(self._outputs) for output in outputs), "contract: there is no such output"
        return actions

    def _set(self, key, value):
        self._allowed()
        self.state[key] = value

    def _delete(self, key):
        self._allowed()
        self.state.pop(key, None)

    def _allowed(self):
        if not self._may_write:
            raise Err(wit_state.StateError_Denied("only process may write"))

    def _scan(self, prefix, after, limit):
        keys = sorted(key for key in self.state if key.startswith(prefix) and (after is None or key > after))
        return [wit_state.Entry(key, self.state[key]) for key in keys[:limit]]


def _named(action, count: int):
    value = action.value
    if isinstance(action, wit.Action_ForwardAll):
        return range(count)
    if isinstance(action, wit.Action_Emit):
        return ()
    return (value if isinstance(value, int) else value.index,)


def _output(action) -> int:
    if isinstance(action, (wit.Action_Drop, wit.Action_DeadLetter)):
        return 0
    return action.value if isinstance(action, wit.Action_ForwardAll) else action.value.output


def _raised(call):
    """What crosses the boundary as an error comes back as the exception that it was."""
    try:
        return call()
    except Err as error:
        cause = error.__context__
        raise (cause if isinstance(cause, Failure) else error) from None
