// Passes on the events whose type begins with a prefix, and counts them.
package main

import (
	"encoding/binary"
	"strings"

	"flow"
)

type config struct {
	Prefix string `json:"prefix"`
}

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": { "prefix": { "type": "string", "default": "" } }
}`

func init() {
	flow.Register(flow.Info{
		Name:           "my-plugin",
		Version:        "0.1.0",
		Summary:        "passes on the events whose type begins with a prefix",
		Schema:         schema,
		UnnamedDropped: true,
	}, newPlugin)
}

type plugin struct{ config }

func newPlugin(setup *flow.Setup) (flow.Plugin, error) {
	made := &plugin{}
	if err := setup.Config(&made.config); err != nil {
		return nil, err
	}
	flow.Log("ready", "prefix", made.Prefix)
	return made, nil
}

func (plugin *plugin) Process(batch *flow.Batch) (actions []flow.Action, err error) {
	// A column: one call for the whole batch.
	for at, kind := range batch.Texts("type") {
		if kind != "" && strings.HasPrefix(kind, plugin.Prefix) {
			actions = append(actions, flow.Forward(at, 0))
		}
	}
	seen := uint64(len(actions))
	if kept := flow.Get([]byte("seen")); len(kept) == 8 {
		seen += binary.BigEndian.Uint64(kept)
	}
	return actions, flow.Set([]byte("seen"), binary.BigEndian.AppendUint64(nil, seen))
}

func main() {}
