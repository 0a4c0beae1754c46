"""Says a word at every tick, and exports every optional interface."""

from dataclasses import dataclass

from flow import Event, Fatal, Info, Setup, component, emit, forward_all, migrate, reconfigure, state, timer


@dataclass
class Config:
    word: str = "tick"


class Clock:
    info = Info("clock-python", "0.1.0", schema={"type": "object"})

    def __init__(self, setup: Setup) -> None:
        self.word, self.remembered = setup.config(Config).word, 0

    def process(self, batch) -> list:
        return [forward_all()]

    def interval(self) -> int:
        return 100

    def tick(self, now: int) -> list:
        self.remembered += 1
        ticks = int.from_bytes(state.get(b"ticks") or b"", "big") + 1
        state.set(b"ticks", ticks.to_bytes(8, "big"))
        migrated = (state.get(b"from") or b"never").decode()
        said = {"now": str(now), "word": self.word, "remembered": self.remembered, "migrated": migrated}
        return [emit(Event.new(str(ticks), "/clock", "ticked", **said))]

    def reconfigure(self, setup: Setup) -> None:
        word = setup.config(Config).word
        if word == "":
            raise Fatal("word: is empty")
        self.word = word

    @staticmethod
    def migrate(from_version: str, setup: Setup) -> None:
        state.set(b"from", from_version.encode())


Lifecycle = component(Clock)
Timer, Reconfigure, Migrate = timer(Lifecycle), reconfigure(Lifecycle), migrate(Lifecycle)
