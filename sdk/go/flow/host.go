package flow

import "fmt"

// Host is what a plugin may call beside its batch: the host, or what stands in for it in a test.
type Host interface {
	Get(key []byte) []byte
	Set(key, value []byte) error
	Delete(key []byte) error
	Scan(prefix, after []byte, limit int) []Entry
	Log(level uint8, message string, fields []string)
}

// TheHost is set before a plugin is called.
var TheHost Host

// Entry is a key of the state and its value.
type Entry struct{ Key, Value []byte }

// Get is the value of a key of the state; nil where it is absent.
func Get(key []byte) []byte { return TheHost.Get(key) }

// Set sets a key; only Process, Tick and what migrates may. It becomes durable with what the batch decides, or not at all.
func Set(key, value []byte) error { return TheHost.Set(key, value) }

// Delete takes a key away; one that is absent is no error.
func Delete(key []byte) error { return TheHost.Delete(key) }

// Scan gives entries whose key begins with prefix and sorts after `after` (nil: from the first), in order; the host may
// give fewer than limit.
func Scan(prefix, after []byte, limit int) []Entry { return TheHost.Scan(prefix, after, limit) }

// Debug, Log, Warn and LogError write a line for the processor: a constant message, then names and values.
func Debug(message string, fields ...any)    { log(0, message, fields) }
func Log(message string, fields ...any)      { log(1, message, fields) }
func Warn(message string, fields ...any)     { log(2, message, fields) }
func LogError(message string, fields ...any) { log(3, message, fields) }

func log(level uint8, message string, fields []any) {
	texts := make([]string, 0, len(fields)+1)
	for _, field := range fields {
		texts = append(texts, fmt.Sprint(field))
	}
	if len(texts)%2 == 1 {
		texts = append(texts, "")
	}
	TheHost.Log(level, message, texts)
}
