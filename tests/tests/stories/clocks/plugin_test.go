package main

import (
	"testing"

	"flow/flowtest"
)

func TestItActsByTheClockAndTakesWhatItIsGiven(t *testing.T) {
	host := flowtest.Must(t, `{"word":"tock"}`)
	if err := host.Migrate("0.0.9"); err != nil {
		t.Fatal(err)
	}
	if err := host.Reconfigure(`{"word":"tick"}`); err != nil {
		t.Fatal(err)
	}
	if err := host.Reconfigure(`{"word":""}`); err == nil || err.Error() != "word: is empty" {
		t.Fatal(err)
	}
	actions, err := host.Tick(7)
	if err != nil || len(actions) != 1 {
		t.Fatal(actions, err)
	}
	said := map[string]string{}
	for _, attribute := range actions[0].Event.Attributes {
		said[attribute.Name] = attribute.Value.String()
	}
	if said["id"] != "1" || said["word"] != "tick" || said["migrated"] != "0.0.9" {
		t.Fatal(said)
	}
	if _, err := host.Tick(8); err != nil || host.State["ticks"] != "\x00\x00\x00\x00\x00\x00\x00\x02" {
		t.Fatalf("%v %q", err, host.State)
	}
}
