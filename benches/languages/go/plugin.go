// Does what it is told with every batch; what it costs is compared with the same in Rust.
package main

import (
	"bytes"

	"flow"
)

type measured struct {
	Act string `json:"act"`
}

func init() {
	info := flow.Info{Name: "measured", Version: "0.1.0", Summary: "does what it is told", Schema: "{}"}
	flow.Register(info, func(setup *flow.Setup) (flow.Plugin, error) {
		made := &measured{}
		return made, setup.Config(made)
	})
}

var sink []*flow.Value

func (measured *measured) Process(batch *flow.Batch) ([]flow.Action, error) {
	actions := make([]flow.Action, 0, batch.Len())
	switch measured.Act {
	case "column":
		sink = batch.Attributes("type")
		return append(actions, flow.ForwardAll(0)), nil
	case "forward-each":
		for at := range batch.Len() {
			actions = append(actions, flow.Forward(at, 0))
		}
	case "rewrite-each":
		for at := range batch.Len() {
			actions = append(actions, flow.Rewrite(at, 0).Set("seen", "yes").Data([]byte("new")))
		}
	case "rewrite-data":
		for at, data := range batch.DataAll() {
			head := min(8, len(data))
			changed := append(bytes.ToUpper(data[:head]), data[head:]...)
			actions = append(actions, flow.Rewrite(at, 0).Data(changed))
		}
	default:
		return nil, flow.Fatal("act: what is %s?", measured.Act)
	}
	return actions, nil
}

func main() {}
