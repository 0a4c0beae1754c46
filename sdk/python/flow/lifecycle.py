"""The way across the boundary: what the host calls, for any plugin."""

import copy
import json
from dataclasses import dataclass, field

from wit_world.exports import lifecycle as wit

from .batch import Batch
from .config import Setup
from .errors import Failure

_NO_CONFIG = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False,
}


@dataclass
class Info:
    """What a type says about itself: 1:1, without configuration, naming every event."""

    name: str
    version: str
    summary: str = ""
    schema: dict = field(default_factory=lambda: _NO_CONFIG)
    many_inputs: bool = False
    many_outputs: bool = False
    unnamed_dropped: bool = False
    keyed: bool = False

    def to_host(self) -> wit.Info:
        cardinality = {False: wit.Cardinality.ONE, True: wit.Cardinality.MANY}
        return wit.Info(
            self.name, self.version, self.summary, cardinality[self.many_inputs], cardinality[self.many_outputs],
            json.dumps(self.schema), self.unnamed_dropped, json.dumps({"keyed": self.keyed}),
        )


def component(plugin: type) -> type:
    """What the host calls. Name the result `Lifecycle`, in the module that is made the component."""

    class Lifecycle:
        instance = None
        type = plugin
        told = None

        def describe(self) -> wit.Info:
            return plugin.info.to_host()

        def init(self, setup: wit.Setup) -> None:
            try:
                Lifecycle.instance = plugin(Setup(setup))
                Lifecycle.told = setup
            except Failure as failure:
                raise failure.to_host() from None

        def process(self, batch) -> list:
            # Given back at once: the host lends so many only.
            with batch:
                try:
                    return Lifecycle.instance.process(Batch(batch))
                except Failure as failure:
                    raise failure.to_host() from None

        def pause(self) -> None:
            _call("pause")

        def resume(self) -> None:
            _call("resume")

        def destroy(self) -> None:
            _call("destroy")

    def _call(name: str) -> None:
        _raising(getattr(Lifecycle.instance, name, lambda: None))

    return Lifecycle


def timer(lifecycle: type) -> type:
    """The optional interface `timer`, of a plugin with `interval(self)`, in milliseconds, and `tick(self, now)`.

    Name the result `Timer`, beside `Lifecycle`, and the interface in the Makefile's EXPORTS. The same goes for the others.
    """

    class Timer:
        def interval(self) -> int:
            return lifecycle.instance.interval()

        def tick(self, now: int) -> list:
            return _raising(lambda: lifecycle.instance.tick(now))

    return Timer


def reconfigure(lifecycle: type) -> type:
    """The optional interface `reconfigure`, of a plugin with `reconfigure(self, setup)`. Name it `Reconfigure`."""

    class Reconfigure:
        def reconfigure(self, config: str) -> None:
            told = copy.copy(lifecycle.told)
            told.config = config
            _raising(lambda: lifecycle.instance.reconfigure(Setup(told)))
            lifecycle.told = told

    return Reconfigure


def migrate(lifecycle: type) -> type:
    """The optional interface `migrate`, of a plugin with a static `migrate(from_version, setup)`. Name it `Migrate`.

    It is called before there is an instance; `setup` has the configuration only.
    """

    class Migrate:
        def migrate(self, from_version: str, config: str) -> None:
            told = wit.Setup(config, [], [], "", 0, "{}")
            _raising(lambda: lifecycle.type.migrate(from_version, Setup(told)))

    return Migrate


def _raising(call):
    try:
        return call()
    except Failure as failure:
        raise failure.to_host() from None
