// Package flow is what the author of a processor plugin in Go writes against.
//
// A plugin registers itself in an init function. The host owns the events; a plugin reads only what it asks for and
// answers with actions. Ask for columns: one call for the whole batch.
package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Info is what a type says about itself.
type Info struct {
	Name    string // lower-case letters, digits, inner hyphens; the file's stem
	Version string // semantic
	Summary string // one line for people
	// Schema is the JSON Schema of the configuration; empty: it takes none.
	Schema                  string
	ManyInputs, ManyOutputs bool
	// UnnamedDropped says that events that no action names are dropped; otherwise naming none is an error.
	UnnamedDropped bool
	Keyed          bool // state is kept by key
}

// Plugin is one shard of a processor. What has to last is in the state.
type Plugin interface {
	// Process decides what becomes of each event. An error is one of Retry, Reject and Fatal; any other stops the
	// processor, too.
	Process(batch *Batch) ([]Action, error)
}

// Pauser, Resumer and Destroyer are what a plugin may have beside.
type (
	Pauser    interface{ Pause() error }
	Resumer   interface{ Resume() error }
	Destroyer interface{ Destroy() error }
)

// Timer is what a plugin has that exports `timer`, as EXPORTS in the Makefile says.
type Timer interface {
	// Interval is how long from tick to tick, 100 ms to a day; 0: no ticks. Asked when an instance is made.
	Interval() time.Duration
	// Tick is called by the clock, with its milliseconds since 1970 UTC. Only Emit makes sense; the state may be written.
	Tick(now int64) ([]Action, error)
}

// Reconfigurer is what a plugin has that exports `reconfigure`: another configuration between two batches. One that gives
// an error goes on as before.
type Reconfigurer interface {
	Reconfigure(setup *Setup) error
}

// Setup is what an instance is told when it is made: the names of the flows, in order.
type Setup struct {
	Text            string // the configuration, JSON
	Inputs, Outputs []string
	Processor       string
	Shard           uint32
}

// Config reads the configuration into a struct that holds the defaults. What is unknown or of another type is
// refused as `path: reason`.
func (setup *Setup) Config(into any) error {
	text := setup.Text
	if strings.TrimSpace(text) == "" {
		text = "{}"
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return ConfigError(wrong.Field, "must be %s, not %s", wrong.Type, wrong.Value)
	}
	words := strings.TrimPrefix(err.Error(), "json: ")
	if name, found := strings.CutPrefix(words, "unknown field "); found {
		return ConfigError(strings.Trim(name, `"`), "unknown field")
	}
	return ConfigError("config", "%s", words)
}

// Error is why a call did not succeed, named by what the host shall do.
type Error struct {
	Kind   uint8 // of retry, reject and fatal, as in the contract
	Index  uint32
	Reason string
}

func (err *Error) Error() string { return err.Reason }

// Retry: the same batch again, later.
func Retry(format string, values ...any) error { return &Error{Reason: fmt.Sprintf(format, values...)} }

// Reject: this event can never work.
func Reject(index int, format string, values ...any) error {
	return &Error{Kind: 1, Index: uint32(index), Reason: fmt.Sprintf(format, values...)}
}

// Fatal: stop the processor.
func Fatal(format string, values ...any) error {
	return &Error{Kind: 2, Reason: fmt.Sprintf(format, values...)}
}

// ConfigError says which value of the configuration is wrong.
func ConfigError(path, format string, values ...any) error {
	return Fatal("%s: %s", path, fmt.Sprintf(format, values...))
}

func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Kind: 2, Reason: err.Error()}
}

// Registered is the type of this component; for what stands in for the host.
var Registered struct {
	Info Info
	New  func(setup *Setup) (Plugin, error)
	// Migrate is what a plugin has that exports `migrate`: it takes over the state that another version left, before there
	// is an instance. The setup has the configuration only.
	Migrate func(from string, setup *Setup) error
}

// Register makes a type the component's. Once, in an init function.
func Register(info Info, new func(setup *Setup) (Plugin, error)) {
	Registered.Info, Registered.New = info, new
}

// RegisterMigrate names what takes state over, where `migrate` is exported.
func RegisterMigrate(migrate func(from string, setup *Setup) error) { Registered.Migrate = migrate }
