package main

import (
	"testing"

	"flow"
	"flow/flowtest"
)

func TestDataIsRewritten(t *testing.T) {
	host := flowtest.Must(t, `{"act":"rewrite-data"}`)
	event := flow.NewEvent("1", "/s", "t")
	event.Data = []byte("abcdefghij")
	actions, err := host.Process(flowtest.Event(event))
	if err != nil || string(actions[0].Event.Data) != "ABCDEFGHij" {
		t.Fatal(actions, err)
	}
}
