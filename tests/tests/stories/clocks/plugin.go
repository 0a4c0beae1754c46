// Says a word at every tick, and exports every optional interface.
package main

import (
	"encoding/binary"
	"strconv"
	"time"

	"flow"
)

type config struct {
	Word string `json:"word"`
}

func init() {
	flow.Register(flow.Info{Name: "clock-go", Version: "0.1.0", Schema: `{"type": "object"}`}, newClock)
	flow.RegisterMigrate(func(from string, _ *flow.Setup) error { return flow.Set([]byte("from"), []byte(from)) })
}

type clock struct {
	config
	remembered int
}

func newClock(setup *flow.Setup) (flow.Plugin, error) {
	made := &clock{config: config{Word: "tick"}}
	return made, setup.Config(&made.config)
}

func (clock *clock) Process(*flow.Batch) ([]flow.Action, error) {
	return []flow.Action{flow.ForwardAll(0)}, nil
}

func (clock *clock) Interval() time.Duration { return 100 * time.Millisecond }

func (clock *clock) Tick(now int64) ([]flow.Action, error) {
	clock.remembered++
	ticks := uint64(1)
	if kept := flow.Get([]byte("ticks")); len(kept) == 8 {
		ticks += binary.BigEndian.Uint64(kept)
	}
	migrated := "never"
	if from := flow.Get([]byte("from")); from != nil {
		migrated = string(from)
	}
	event := flow.NewEvent(strconv.FormatUint(ticks, 10), "/clock", "ticked").
		Set("now", strconv.FormatInt(now, 10)).Set("word", clock.Word).
		Set("remembered", clock.remembered).Set("migrated", migrated)
	err := flow.Set([]byte("ticks"), binary.BigEndian.AppendUint64(nil, ticks))
	return []flow.Action{flow.Emit(0, event)}, err
}

func (clock *clock) Reconfigure(setup *flow.Setup) error {
	next := config{Word: "tick"}
	if err := setup.Config(&next); err != nil {
		return err
	}
	if next.Word == "" {
		return flow.ConfigError("word", "is empty")
	}
	clock.config = next
	return nil
}

func main() {}
