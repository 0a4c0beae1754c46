package main

import (
	"reflect"
	"testing"

	"flow"
	"flow/flowtest"
)

func TestWhatBeginsWithThePrefixGoesOn(t *testing.T) {
	host := flowtest.Must(t, `{"prefix":"alert."}`)
	event := func(kind string) flowtest.Record { return flowtest.Event(flow.NewEvent("1", "/house", kind)) }
	actions, err := host.Process(event("knock"), event("alert.fire"), flowtest.Foreign("no event"))
	if err != nil || !reflect.DeepEqual(actions, []flow.Action{flow.Forward(1, 0)}) {
		t.Fatal(actions, err)
	}
	if host.State["seen"] != "\x00\x00\x00\x00\x00\x00\x00\x01" {
		t.Fatalf("%q", host.State)
	}
}

func TestAWrongConfigurationIsRefusedWithItsPath(t *testing.T) {
	for config, wanted := range map[string]string{
		`{"prefix":7}`:  "prefix: must be string, not number",
		`{"perfix":""}`: "perfix: unknown field",
	} {
		if _, err := flowtest.New(config); err == nil || err.Error() != wanted {
			t.Error(err)
		}
	}
}
