package flow

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// Kind is a type of the CloudEvents type system.
type Kind uint8

// The kinds, in the order of the contract.
const (
	Boolean Kind = iota
	Integer
	Text
	Binary
	URI
	URIReference
	Timestamp
)

// Value is an attribute's value with its type.
type Value struct {
	Kind   Kind
	Number int32  // of Boolean (0 or 1) and Integer
	Chars  string // of all others
}

// String is the canonical text: bytes as base64.
func (value Value) String() string {
	switch value.Kind {
	case Boolean:
		return strconv.FormatBool(value.Number != 0)
	case Integer:
		return strconv.Itoa(int(value.Number))
	case Binary:
		return base64.StdEncoding.EncodeToString([]byte(value.Chars))
	}
	return value.Chars
}

func valueOf(from any) Value {
	switch from := from.(type) {
	case Value:
		return from
	case bool:
		if from {
			return Value{Kind: Boolean, Number: 1}
		}
		return Value{Kind: Boolean}
	case int:
		return Value{Kind: Integer, Number: int32(from)}
	case int32:
		return Value{Kind: Integer, Number: from}
	case []byte:
		return Value{Kind: Binary, Chars: string(from)}
	case string:
		return Value{Kind: Text, Chars: from}
	}
	panic("an attribute is a bool, an int, a string, bytes or a Value")
}

// Attribute has a name and a value.
type Attribute struct {
	Name  string
	Value Value
}

// Event is a CloudEvent. Data that is nil is absent, which is not empty.
type Event struct {
	Attributes []Attribute
	Data       []byte
}

// NewEvent has the four required attributes.
func NewEvent(id, source, kind string) *Event {
	event := &Event{}
	return event.Set("specversion", "1.0").Set("id", id).Set("source", Value{Kind: URIReference, Chars: source}).Set("type", kind)
}

// Set sets an attribute: a bool, int, string, []byte or Value.
func (event *Event) Set(name string, value any) *Event {
	for at := range event.Attributes {
		if event.Attributes[at].Name == name {
			event.Attributes[at].Value = valueOf(value)
			return event
		}
	}
	event.Attributes = append(event.Attributes, Attribute{name, valueOf(value)})
	return event
}

// JSON sets JSON data.
func (event *Event) JSON(value any) *Event {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	event.Data = data
	return event.Set("datacontenttype", "application/json")
}

// Source is where a batch lies: in the host, or in a test.
type Source interface {
	Len() int
	Input() int
	Flow() string
	Partition() int
	IsEvent(index int) bool
	Attribute(index int, name string) (Value, bool)
	Key(index int) []byte
	Data(index int) []byte
	Timestamp(index int) int64
	Attributes(name string) []*Value
	DataAll() [][]byte
}

// Batch is one contiguous piece of one partition of one input. An index that is not below Len ends the call.
type Batch struct{ Source }

// Texts is an attribute of every event as text; absent ones are empty. One call for the whole batch.
func (batch *Batch) Texts(name string) []string {
	texts := make([]string, 0, batch.Len())
	for _, value := range batch.Attributes(name) {
		if value == nil {
			texts = append(texts, "")
		} else {
			texts = append(texts, value.String())
		}
	}
	return texts
}

// JSON reads the data of an event.
func (batch *Batch) JSON(index int, into any) error { return json.Unmarshal(batch.Data(index), into) }

// What an action is, in the order of the contract.
const (
	forward = iota
	forwardAll
	emit
	rewrite
	drop
	deadLetter
)

// Action is what becomes of an event. They take effect in order; events and outputs are counted from 0.
type Action struct {
	kind          uint8
	Index, Output uint32
	Reason        string
	Event         *Event // new, or what is set
	Key           []byte
	Removed       []string
	data          uint8 // keep, replace, remove
}

// Forward: the event, byte for byte.
func Forward(index, output int) Action {
	return Action{kind: forward, Index: uint32(index), Output: uint32(output)}
}

// ForwardAll: the whole batch, byte for byte.
func ForwardAll(output int) Action { return Action{kind: forwardAll, Output: uint32(output)} }

// Drop: the event goes nowhere.
func Drop(index int) Action { return Action{kind: drop, Index: uint32(index)} }

// DeadLetter: the event goes to the processor's dead letters.
func DeadLetter(index int, reason string) Action {
	return Action{kind: deadLetter, Index: uint32(index), Reason: reason}
}

// Emit: a new event. Its key is its attribute `partitionkey`; without one it stays in the partition.
func Emit(output int, event *Event) Action {
	return Action{kind: emit, Output: uint32(output), Event: event}
}

// Rewrite: the event, with the changes that are made to what this gives.
func Rewrite(index, output int) Action {
	return Action{kind: rewrite, Index: uint32(index), Output: uint32(output), Event: &Event{}}
}

// Set sets an attribute of an event that is rewritten. `partitionkey` is its key, too: where it is another one, the
// event goes to its partition.
func (action Action) Set(name string, value any) Action {
	action.Event.Set(name, value)
	return action
}

// Unset takes an attribute away.
func (action Action) Unset(name string) Action {
	action.Removed = append(action.Removed, name)
	return action
}

// Data replaces the data.
func (action Action) Data(data []byte) Action {
	action.Event.Data, action.data = data, 1
	return action
}

// WithoutData takes the data away.
func (action Action) WithoutData() Action {
	action.data = 2
	return action
}

// Names says which events of a batch of that length are named, and whether an output is.
func (action Action) Names(length int) (from, to int, output bool) {
	switch action.kind {
	case forwardAll:
		return 0, length, true
	case emit:
		return 0, 0, true
	}
	return int(action.Index), int(action.Index) + 1, action.kind == forward || action.kind == rewrite
}
