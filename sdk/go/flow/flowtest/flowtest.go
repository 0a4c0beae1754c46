// Package flowtest stands in for the host in a test that runs natively.
package flowtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"flow"
)

// Record is an event, or where Event is nil one that is no CloudEvent, with its value in Data.
type Record struct {
	Event     *flow.Event
	Data      []byte
	Timestamp int64
}

// Event makes a record of an event.
func Event(event *flow.Event) Record { return Record{Event: event, Data: event.Data} }

// At is the same with the broker's timestamp.
func (record Record) At(milliseconds int64) Record {
	record.Timestamp = milliseconds
	return record
}

// Foreign makes a record that is no CloudEvent.
func Foreign(value string) Record { return Record{Data: []byte(value)} }

type batch []Record

func (batch batch) Len() int                  { return len(batch) }
func (batch batch) Input() int                { return 0 }
func (batch batch) Flow() string              { return "in" }
func (batch batch) Partition() int            { return 0 }
func (batch batch) IsEvent(index int) bool    { return batch[index].Event != nil }
func (batch batch) Key(int) []byte            { return nil }
func (batch batch) Data(index int) []byte     { return batch[index].Data }
func (batch batch) Timestamp(index int) int64 { return batch[index].Timestamp }

func (batch batch) Attribute(index int, name string) (flow.Value, bool) {
	if batch[index].Event != nil {
		for _, attribute := range batch[index].Event.Attributes {
			if attribute.Name == name {
				return attribute.Value, true
			}
		}
	}
	return flow.Value{}, false
}

func (batch batch) Attributes(name string) []*flow.Value {
	column := make([]*flow.Value, len(batch))
	for at := range batch {
		if value, present := batch.Attribute(at, name); present {
			column[at] = &value
		}
	}
	return column
}

func (batch batch) DataAll() (all [][]byte) {
	for _, record := range batch {
		all = append(all, record.Data)
	}
	return all
}

// Host has a plugin under test. State of a call that fails is discarded.
type Host struct {
	State    map[string]string
	Lines    []string
	setup    flow.Setup
	plugin   flow.Plugin
	mayWrite bool
}

// New makes an instance of the registered type that reads the flow `in` and writes the flow `out`.
func New(config string) (*Host, error) {
	setup := flow.Setup{Text: config, Inputs: []string{"in"}, Outputs: []string{"out"}, Processor: "processor.under.test"}
	host := &Host{State: map[string]string{}, setup: setup}
	return host, host.Restart()
}

// Must is New where the configuration is right.
func Must(t *testing.T, config string) *Host {
	t.Helper()
	host, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// Restart makes a new instance on the committed state.
func (host *Host) Restart() (err error) {
	flow.TheHost = host
	setup := host.setup
	host.plugin, err = flow.Registered.New(&setup)
	return err
}

// Process hands over a batch, and checks the answer as the host does.
func (host *Host) Process(records ...Record) ([]flow.Action, error) {
	return host.writing(len(records), func() ([]flow.Action, error) {
		return host.plugin.Process(&flow.Batch{Source: batch(records)})
	})
}

// Tick lets the plugin act at a moment, milliseconds since 1970.
func (host *Host) Tick(now int64) ([]flow.Action, error) {
	return host.writing(0, func() ([]flow.Action, error) { return host.plugin.(flow.Timer).Tick(now) })
}

// Reconfigure hands over another configuration.
func (host *Host) Reconfigure(config string) error {
	setup := host.setup
	setup.Text = config
	given := setup
	err := host.plugin.(flow.Reconfigurer).Reconfigure(&given)
	if err == nil {
		host.setup = setup
	}
	return err
}

// Migrate hands over the state, which another version left.
func (host *Host) Migrate(from string) error {
	_, err := host.writing(0, func() ([]flow.Action, error) {
		return nil, flow.Registered.Migrate(from, &flow.Setup{Text: host.setup.Text})
	})
	return err
}

func (host *Host) writing(length int, call func() ([]flow.Action, error)) (actions []flow.Action, err error) {
	before := map[string]string{}
	for key, value := range host.State {
		before[key] = value
	}
	host.mayWrite = true
	actions, err = call()
	host.mayWrite = false
	if err == nil {
		err = check(actions, length)
	}
	if err != nil {
		host.State = before
	}
	return actions, err
}

func check(actions []flow.Action, length int) error {
	named := make([]bool, length)
	for _, action := range actions {
		from, to, output := action.Names(length)
		if to > length {
			return fmt.Errorf("contract: there is no such event: %d", from)
		}
		if output && action.Output > 0 {
			return fmt.Errorf("contract: there is no such output: %d", action.Output)
		}
		for at := from; at < to; at++ {
			named[at] = true
		}
	}
	if at := slices.Index(named, false); at >= 0 && !flow.Registered.Info.UnnamedDropped {
		return fmt.Errorf("contract: no action names event %d", at)
	}
	return nil
}

// Get is for the plugin.
func (host *Host) Get(key []byte) []byte {
	if value, present := host.State[string(key)]; present {
		return []byte(value)
	}
	return nil
}

// Set is for the plugin.
func (host *Host) Set(key, value []byte) error {
	if !host.mayWrite {
		return flow.Fatal("state is denied: only process may write")
	}
	host.State[string(key)] = string(value)
	return nil
}

// Delete is for the plugin.
func (host *Host) Delete(key []byte) error {
	if !host.mayWrite {
		return flow.Fatal("state is denied: only process may write")
	}
	delete(host.State, string(key))
	return nil
}

// Scan is for the plugin.
func (host *Host) Scan(prefix, after []byte, limit int) (entries []flow.Entry) {
	var keys []string
	for key := range host.State {
		if strings.HasPrefix(key, string(prefix)) && (after == nil || key > string(after)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys[:min(limit, len(keys))] {
		entries = append(entries, flow.Entry{Key: []byte(key), Value: []byte(host.State[key])})
	}
	return entries
}

// Log is for the plugin.
func (host *Host) Log(_ uint8, message string, fields []string) {
	host.Lines = append(host.Lines, message+" "+strings.Join(fields, " "))
}
