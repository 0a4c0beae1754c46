package flow

// The way across the boundary, by the component model's canonical ABI for wit/processor.wit. Written by hand: what is
// lifted stays where the host has put it, so that a column of 512 texts is not copied a second time.

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"unsafe"
)

// held keeps alive what the other side has only addresses of, until the call has ended.
var held [][]uint64

// free is what is left of the newest piece of memory.
var free []uint64

// alloc gives memory that is set to zero and aligned to eight bytes, and lives until the call has ended; longer where a
// value of Go still points into it.
func alloc(size uint32) []byte {
	if size == 0 {
		return nil
	}
	words := int(size+7) / 8
	if words > len(free) {
		free = make([]uint64, max(words, 8*1024))
		held = append(held, free)
	}
	taken := free[:words:words]
	free = free[words:]
	return unsafe.Slice((*byte)(unsafe.Pointer(&taken[0])), size)
}

func ended() { held, free = held[:0], nil }

//go:wasmexport cabi_realloc
func cabiRealloc(from, oldSize, align, size uint32) uint32 {
	if size == 0 {
		return align
	}
	to := alloc(size)
	if oldSize > 0 {
		copy(to, memory(from, min(oldSize, size)))
	}
	return address(to)
}

func memory(at, size uint32) []byte {
	if size == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(at))), size)
}

func address(bytes []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))) }

// A record in memory, read and written by offsets.
type record []byte

func (from record) number(at int) uint32 { return binary.LittleEndian.Uint32(from[at:]) }
func (from record) bytes(at int) []byte  { return memory(from.number(at), from.number(at+4)) }
func (from record) text(at int) string {
	bytes := from.bytes(at)
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}
func (from record) list(at, size int) (items []record) {
	count := int(from.number(at + 4))
	all := memory(from.number(at), uint32(count*size))
	items = make([]record, count)
	for i := range items {
		items[i] = record(all[i*size : (i+1)*size])
	}
	return items
}
func (from record) option(at int) []byte {
	if from[at] == 0 {
		return nil
	}
	return from.bytes(at + 4)
}

func (to record) put(at int, value uint32) { binary.LittleEndian.PutUint32(to[at:], value) }

// putBytes copies: what the other side reads must be held.
func (to record) putBytes(at int, from []byte) {
	copied := alloc(uint32(len(from)))
	copy(copied, from)
	to.put(at, address(copied))
	to.put(at+4, uint32(len(from)))
}
func (to record) putText(at int, from string) {
	to.putBytes(at, unsafe.Slice(unsafe.StringData(from), len(from)))
}
func (to record) putOption(at int, from []byte) {
	if from != nil {
		to[at] = 1
		to.putBytes(at+4, from)
	}
}

// putList gives each of so many items of a size to fill.
func (to record) putList(at, count, size int, fill func(item record, i int)) {
	all := alloc(uint32(count * size))
	to.put(at, address(all))
	to.put(at+4, uint32(count))
	for i := range count {
		fill(record(all[i*size:(i+1)*size]), i)
	}
}

func lent(text string) (uint32, uint32) {
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint32(len(text))
}

// ---- Imports -------------------------------------------------------------------------------------------------------

//go:wasmimport flow:processor/events@1.0.0 [method]batch.len
func batchLen(batch uint32) uint32

//go:wasmimport flow:processor/events@1.0.0 [method]batch.input
func batchInput(batch uint32) uint32

//go:wasmimport flow:processor/events@1.0.0 [method]batch.flow
func batchFlow(batch, to uint32)

//go:wasmimport flow:processor/events@1.0.0 [method]batch.partition
func batchPartition(batch uint32) uint32

//go:wasmimport flow:processor/events@1.0.0 [method]batch.is-event
func batchIsEvent(batch, index uint32) uint32

//go:wasmimport flow:processor/events@1.0.0 [method]batch.attribute
func batchAttribute(batch, index, name, length, to uint32)

//go:wasmimport flow:processor/events@1.0.0 [method]batch.key
func batchKey(batch, index, to uint32)

//go:wasmimport flow:processor/events@1.0.0 [method]batch.data
func batchData(batch, index, to uint32)

//go:wasmimport flow:processor/events@1.0.0 [method]batch.timestamp
func batchTimestamp(batch, index uint32) int64

//go:wasmimport flow:processor/events@1.0.0 [method]batch.attributes
func batchAttributes(batch, name, length, to uint32)

//go:wasmimport flow:processor/events@1.0.0 [method]batch.data-all
func batchDataAll(batch, to uint32)

//go:wasmimport flow:processor/events@1.0.0 [resource-drop]batch
func batchDrop(batch uint32)

//go:wasmimport flow:processor/state@1.0.0 get
func stateGet(key, length, to uint32)

//go:wasmimport flow:processor/state@1.0.0 set
func stateSet(key, length, value, valueLength, to uint32)

//go:wasmimport flow:processor/state@1.0.0 delete
func stateDelete(key, length, to uint32)

//go:wasmimport flow:processor/state@1.0.0 scan
func stateScan(prefix, length, isAfter, after, afterLength, limit, to uint32)

//go:wasmimport flow:processor/log@1.0.0 log
func logLog(level, message, length, fields, count uint32)

// ---- A batch -------------------------------------------------------------------------------------------------------

type handle uint32

func (batch handle) Len() int                  { return int(batchLen(uint32(batch))) }
func (batch handle) Input() int                { return int(batchInput(uint32(batch))) }
func (batch handle) Partition() int            { return int(batchPartition(uint32(batch))) }
func (batch handle) IsEvent(index int) bool    { return batchIsEvent(uint32(batch), uint32(index)) != 0 }
func (batch handle) Timestamp(index int) int64 { return batchTimestamp(uint32(batch), uint32(index)) }

func (batch handle) Flow() string {
	to := record(alloc(8))
	batchFlow(uint32(batch), address(to))
	return to.text(0)
}

func (from record) value(at int) Value {
	switch kind := Kind(from[at]); kind {
	case Boolean:
		return Value{Kind: kind, Number: int32(from[at+4])}
	case Integer:
		return Value{Kind: kind, Number: int32(from.number(at + 4))}
	default:
		return Value{Kind: kind, Chars: from.text(at + 4)}
	}
}

func (batch handle) Attribute(index int, name string) (Value, bool) {
	to := record(alloc(16))
	at, length := lent(name)
	batchAttribute(uint32(batch), uint32(index), at, length, address(to))
	if to[0] == 0 {
		return Value{}, false
	}
	return to.value(4), true
}

func (batch handle) Attributes(name string) []*Value {
	to := record(alloc(8))
	at, length := lent(name)
	batchAttributes(uint32(batch), at, length, address(to))
	items := to.list(0, 16)
	values, present := make([]Value, len(items)), make([]*Value, len(items))
	for i, item := range items {
		if item[0] != 0 {
			values[i] = item.value(4)
			present[i] = &values[i]
		}
	}
	return present
}

func (batch handle) Key(index int) []byte {
	to := record(alloc(12))
	batchKey(uint32(batch), uint32(index), address(to))
	return to.option(0)
}

func (batch handle) Data(index int) []byte {
	to := record(alloc(12))
	batchData(uint32(batch), uint32(index), address(to))
	return to.option(0)
}

func (batch handle) DataAll() [][]byte {
	to := record(alloc(8))
	batchDataAll(uint32(batch), address(to))
	items := to.list(0, 12)
	all := make([][]byte, len(items))
	for i, item := range items {
		all[i] = item.option(0)
	}
	return all
}

// ---- State and log -------------------------------------------------------------------------------------------------

type host struct{}

func init() { TheHost = host{} }

func (host) Get(key []byte) []byte {
	to := record(alloc(12))
	stateGet(address(key), uint32(len(key)), address(to))
	return to.option(0)
}

func (host) Set(key, value []byte) error {
	to := record(alloc(24))
	stateSet(address(key), uint32(len(key)), address(value), uint32(len(value)), address(to))
	return to.written()
}

func (host) Delete(key []byte) error {
	to := record(alloc(24))
	stateDelete(address(key), uint32(len(key)), address(to))
	return to.written()
}

func (from record) written() error {
	switch {
	case from[0] == 0:
		return nil
	case from[8] == 0:
		return Fatal("state is full: limit passed: state_bytes=%d", binary.LittleEndian.Uint64(from[16:]))
	}
	return Fatal("state is denied: %s", from.text(16))
}

func (host) Scan(prefix, after []byte, limit int) []Entry {
	to := record(alloc(8))
	isAfter := uint32(0)
	if after != nil {
		isAfter = 1
	}
	stateScan(address(prefix), uint32(len(prefix)), isAfter, address(after), uint32(len(after)), uint32(limit), address(to))
	items := to.list(0, 16)
	entries := make([]Entry, len(items))
	for i, item := range items {
		entries[i] = Entry{item.bytes(0), item.bytes(8)}
	}
	return entries
}

func (host) Log(level uint8, message string, fields []string) {
	to := record(alloc(8))
	to.putList(0, len(fields)/2, 16, func(item record, i int) {
		item.putText(0, fields[2*i])
		item.putText(8, fields[2*i+1])
	})
	at, length := lent(message)
	logLog(uint32(level), at, length, to.number(0), to.number(4))
}

// ---- Exports -------------------------------------------------------------------------------------------------------

const noConfig = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false}`

//go:wasmexport flow:processor/lifecycle@1.0.0#describe
func describe() uint32 {
	info, to := Registered.Info, record(alloc(48))
	schema := info.Schema
	if schema == "" {
		schema = noConfig
	}
	to.putText(0, info.Name)
	to.putText(8, info.Version)
	to.putText(16, info.Summary)
	to[24], to[25], to[36] = bit(info.ManyInputs), bit(info.ManyOutputs), bit(info.UnnamedDropped)
	to.putText(28, schema)
	to.putText(40, fmt.Sprintf(`{"keyed":%t}`, info.Keyed))
	return address(to)
}

func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}

var instance Plugin

// told is what the instance was told last.
var told Setup

//go:wasmexport flow:processor/lifecycle@1.0.0#init
func initialize(config, configLength, inputs, inputCount, outputs, outputCount, processor, processorLength, shard, more, moreLength uint32) uint32 {
	setup := &Setup{
		Text: string(memory(config, configLength)), Inputs: texts(inputs, inputCount), Outputs: texts(outputs, outputCount),
		Processor: string(memory(processor, processorLength)), Shard: shard,
	}
	told = *setup
	return answered(func(record) (err error) {
		instance, err = Registered.New(setup)
		return err
	})
}

func texts(at, count uint32) []string {
	all := record(memory(at, count*8))
	texts := make([]string, count)
	for i := range texts {
		texts[i] = string(all.bytes(8 * i))
	}
	return texts
}

//go:wasmexport flow:processor/lifecycle@1.0.0#process
func process(batch uint32) uint32 {
	return answered(func(to record) error {
		// Given back at once: the host lends so many only.
		defer batchDrop(batch)
		actions, err := instance.Process(&Batch{handle(batch)})
		if err == nil {
			to.putActions(actions)
		}
		return err
	})
}

//go:wasmexport flow:processor/lifecycle@1.0.0#pause
func pause() uint32 {
	return answered(func(record) error {
		if pauser, is := instance.(Pauser); is {
			return pauser.Pause()
		}
		return nil
	})
}

//go:wasmexport flow:processor/lifecycle@1.0.0#resume
func resume() uint32 {
	return answered(func(record) error {
		if resumer, is := instance.(Resumer); is {
			return resumer.Resume()
		}
		return nil
	})
}

//go:wasmexport flow:processor/lifecycle@1.0.0#destroy
func destroy() uint32 {
	return answered(func(record) error {
		if destroyer, is := instance.(Destroyer); is {
			return destroyer.Destroy()
		}
		return nil
	})
}

// stack is where a panic came from: what is above `panic` itself is of no interest, and a field of the log is short.
func stack() string {
	whole := string(debug.Stack())
	if _, behind, found := strings.Cut(whole, "\npanic("); found {
		if _, frames, found := strings.Cut(behind, "\n\t"); found {
			_, frames, _ = strings.Cut(frames, "\n")
			return frames
		}
	}
	return whole
}

// answered makes what a call gives a result: the call writes what it has to say itself, or gives an error.
func answered(call func(to record) error) uint32 {
	defer func() {
		if reason := recover(); reason != nil {
			LogError("panic", "reason", reason, "stack", stack())
			// The same trap, without the words of Go's runtime: it writes them in a hundred pieces.
			os.Exit(2)
		}
	}()
	to := record(alloc(20))
	if err := call(to); err != nil {
		why := asError(err)
		to[0], to[4] = 1, why.Kind
		if why.Kind == 1 {
			to.put(8, why.Index)
			to.putText(12, why.Reason)
		} else {
			to.putText(8, why.Reason)
		}
	}
	return address(to)
}

func (to record) putActions(actions []Action) {
	to.putList(4, len(actions), 40, func(item record, i int) { item.putAction(&actions[i]) })
}

func (to record) putAction(action *Action) {
	to[0] = action.kind
	to = to[4:]
	switch action.kind {
	case forward:
		to.put(0, action.Index)
		to.put(4, action.Output)
	case forwardAll:
		to.put(0, action.Output)
	case drop:
		to.put(0, action.Index)
	case deadLetter:
		to.put(0, action.Index)
		to.putText(4, action.Reason)
	case emit:
		to.put(0, action.Output)
		to.putOption(4, action.Key)
		to.putAttributes(16, action.Event.Attributes)
		to.putOption(24, action.Event.Data)
	case rewrite:
		to.put(0, action.Index)
		to.put(4, action.Output)
		to.putAttributes(8, action.Event.Attributes)
		to.putList(16, len(action.Removed), 8, func(item record, i int) { item.putText(0, action.Removed[i]) })
		to[24] = action.data
		if action.data == 1 {
			to.putBytes(28, action.Event.Data)
		}
	}
}

func (to record) putAttributes(at int, attributes []Attribute) {
	to.putList(at, len(attributes), 20, func(item record, i int) {
		value := attributes[i].Value
		item.putText(0, attributes[i].Name)
		item[8] = uint8(value.Kind)
		switch value.Kind {
		case Boolean:
			item[12] = uint8(value.Number)
		case Integer:
			item.put(12, uint32(value.Number))
		default:
			item.putText(12, value.Chars)
		}
	})
}

//go:wasmexport cabi_post_flow:processor/lifecycle@1.0.0#describe
func describeEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/lifecycle@1.0.0#init
func initEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/lifecycle@1.0.0#process
func processEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/lifecycle@1.0.0#pause
func pauseEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/lifecycle@1.0.0#resume
func resumeEnded(uint32) { ended() }

//go:wasmexport cabi_post_flow:processor/lifecycle@1.0.0#destroy
func destroyEnded(uint32) { ended() }
