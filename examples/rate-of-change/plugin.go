// Alerts when a number in the JSON data changes faster than it may. Remembers the last number of each group of events in
// the state, so that neither a crash nor a new version misses a change or alerts twice.
package main

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"flow"
)

type config struct {
	Field     string  `json:"field"`
	By        string  `json:"by"`
	PerSecond float64 `json:"per-second"`
}

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["field", "per-second"],
  "properties": {
    "field": { "type": "string", "description": "where the number is, as outside.temp" },
    "by": { "type": "string", "default": "subject", "description": "the attribute whose values are watched apart" },
    "per-second": { "type": "number", "exclusiveMinimum": 0 }
  }
}`

func init() {
	flow.Register(flow.Info{
		Name:           "rate-of-change",
		Version:        "0.1.0",
		Summary:        "alerts when a number changes faster than it may",
		Schema:         schema,
		UnnamedDropped: true,
	}, newWatch)
}

type watch struct {
	config
	path      []string
	processor string
}

// What is known of a group: the last number, and when it was measured, in milliseconds since 1970.
type last struct {
	Value float64 `json:"value"`
	At    int64   `json:"at"`
}

func newWatch(setup *flow.Setup) (flow.Plugin, error) {
	made := &watch{config: config{By: "subject"}, processor: setup.Processor}
	if err := setup.Config(&made.config); err != nil {
		return nil, err
	}
	made.path = strings.Split(made.Field, ".")
	switch {
	case made.Field == "":
		return nil, flow.ConfigError("field", "is missing")
	case made.PerSecond <= 0:
		return nil, flow.ConfigError("per-second", "must be above 0")
	}
	return made, nil
}

func (watch *watch) Process(batch *flow.Batch) (actions []flow.Action, err error) {
	groups, times, ids := batch.Texts(watch.By), batch.Texts("time"), batch.Texts("id")
	for at, data := range batch.DataAll() {
		value, found := number(data, watch.path)
		if !found || ids[at] == "" || len(groups[at]) > longest {
			continue
		}
		now := last{value, measured(times[at], batch, at)}
		before, known := recall(groups[at])
		// What comes late says nothing about what is now.
		if known && now.At <= before.At {
			continue
		}
		if err := remember(groups[at], now); err != nil {
			return nil, err
		}
		if rate := now.since(before); known && math.Abs(rate) > watch.PerSecond {
			actions = append(actions, flow.Emit(0, watch.alert(ids[at], groups[at], times[at], before, now, rate)))
		}
	}
	return actions, nil
}

func (now last) since(before last) float64 {
	return (now.Value - before.Value) / (float64(now.At-before.At) / 1000)
}

// The id follows from the event's, so that a repeat makes the same alert.
func (watch *watch) alert(id, group, when string, before, now last, rate float64) *flow.Event {
	alert := flow.NewEvent(id+"-rate", "/"+watch.processor, "alert.rate-of-change")
	alert.JSON(map[string]float64{"from": before.Value, "to": now.Value, "persecond": math.Round(rate*1000) / 1000})
	if group != "" {
		alert.Set("subject", group)
	}
	if when != "" {
		alert.Set("time", flow.Value{Kind: flow.Timestamp, Chars: when})
	}
	return alert
}

// The event's own time; without one, that of the broker.
func measured(when string, batch *flow.Batch, at int) int64 {
	if parsed, err := time.Parse(time.RFC3339Nano, when); err == nil {
		return parsed.UnixMilli()
	}
	return batch.Timestamp(at)
}

func number(data []byte, path []string) (float64, bool) {
	var document any
	if json.Unmarshal(data, &document) != nil {
		return 0, false
	}
	for _, name := range path {
		object, is := document.(map[string]any)
		if !is {
			return 0, false
		}
		document = object[name]
	}
	value, is := document.(float64)
	return value, is
}

func recall(group string) (before last, known bool) {
	kept := flow.Get([]byte("g" + group))
	return before, kept != nil && json.Unmarshal(kept, &before) == nil
}

func remember(group string, now last) error {
	kept, err := json.Marshal(now)
	if err != nil {
		return flow.Fatal("a number that JSON does not have: %v", err)
	}
	return flow.Set([]byte("g"+group), kept)
}

// A key of the state has at most 1,024 bytes.
const longest = 1000

func main() {}
