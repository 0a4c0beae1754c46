package flow

import (
	"math"
	"time"
)

// The optional interfaces. What the world of a plugin does not have of them is left out of its component.

//go:wasmexport flow:processor/timer@1.0.0#interval
func interval() uint32 {
	if timer, is := instance.(Timer); is {
		return milliseconds(timer.Interval())
	}
	return 0
}

// What is shorter than a millisecond is one, and not none; what does not fit is the longest there is, which a host refuses.
func milliseconds(interval time.Duration) uint32 {
	if interval <= 0 {
		return 0
	}
	return uint32(min(max(interval.Milliseconds(), 1), math.MaxUint32))
}

//go:wasmexport flow:processor/timer@1.0.0#tick
func tick(now int64) uint32 {
	return answered(func(to record) error {
		timer, is := instance.(Timer)
		if !is {
			return Fatal("exports timer, and has no Tick")
		}
		actions, err := timer.Tick(now)
		if err == nil {
			to.putActions(actions)
		}
		return err
	})
}

//go:wasmexport flow:processor/reconfigure@1.0.0#reconfigure
func reconfigure(config, length uint32) uint32 {
	next := told
	next.Text = string(memory(config, length))
	return answered(func(record) error {
		taker, is := instance.(Reconfigurer)
		if !is {
			return Fatal("exports reconfigure, and has no Reconfigure")
		}
		given := next
		err := taker.Reconfigure(&given)
		if err == nil {
			told = next
		}
		return err
	})
}

//go:wasmexport flow:processor/migrate@1.0.0#migrate
func migrate(from, fromLength, config, length uint32) uint32 {
	version, setup := string(memory(from, fromLength)), &Setup{Text: string(memory(config, length))}
	return answered(func(record) error {
		if Registered.Migrate == nil {
			return Fatal("exports migrate, and has registered none")
		}
		return Registered.Migrate(version, setup)
	})
}

//go:wasmexport cabi_post_flow:processor/timer@1.0.0#tick
func tickEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/reconfigure@1.0.0#reconfigure
func reconfigureEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/migrate@1.0.0#migrate
func migrateEnded(uint32) { ended() }
