package main

import (
	"fmt"
	"testing"

	"flow"
	"flow/flowtest"
)

const perSecond = `{"field":"outside.temp","per-second":0.5}`

func measuredAt(second int, subject string, temp float64) flowtest.Record {
	event := flow.NewEvent(fmt.Sprint(second), "/station", "measured").Set("subject", subject)
	when := fmt.Sprintf("2026-01-01T00:00:%02dZ", second)
	event.Set("time", flow.Value{Kind: flow.Timestamp, Chars: when})
	return flowtest.Event(event.JSON(map[string]any{"outside": map[string]float64{"temp": temp}}))
}

func alerts(t *testing.T, host *flowtest.Host, records ...flowtest.Record) (data []string) {
	t.Helper()
	actions, err := host.Process(records...)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range actions {
		data = append(data, string(action.Event.Data))
	}
	return data
}

func TestAFastChangeAlertsAlsoAcrossInstances(t *testing.T) {
	host := flowtest.Must(t, perSecond)
	if found := alerts(t, host, measuredAt(0, "a", 10), measuredAt(10, "a", 14)); len(found) != 0 {
		t.Fatal(found)
	}
	if err := host.Restart(); err != nil {
		t.Fatal(err)
	}
	found := alerts(t, host, measuredAt(12, "a", 10), measuredAt(13, "b", 90), measuredAt(14, "a", 10.5))
	if len(found) != 1 || found[0] != `{"from":14,"persecond":-2,"to":10}` {
		t.Fatal(found)
	}
}

func TestWhatComesLateOrHasNoNumberSaysNothing(t *testing.T) {
	host := flowtest.Must(t, perSecond)
	text := flowtest.Event(flow.NewEvent("x", "/station", "measured").JSON(map[string]string{"outside": "warm"}))
	found := alerts(t, host, measuredAt(10, "a", 10), measuredAt(9, "a", 90), text, flowtest.Foreign(`{"outside":{"temp":90}}`))
	if len(found) != 0 || len(host.State) != 1 {
		t.Fatal(found, host.State)
	}
}

func TestTheTimeOfTheBrokerCountsWhereAnEventHasNone(t *testing.T) {
	host := flowtest.Must(t, `{"field":"t","per-second":1}`)
	at := func(milliseconds int64, value int) flowtest.Record {
		event := flow.NewEvent(fmt.Sprint(milliseconds), "/station", "measured")
		return flowtest.Event(event.JSON(map[string]int{"t": value})).At(milliseconds)
	}
	if found := alerts(t, host, at(1000, 1), at(1500, 2)); len(found) != 1 {
		t.Fatal(found)
	}
}

func TestAWrongConfigurationIsRefusedWithItsPath(t *testing.T) {
	for config, wanted := range map[string]string{
		`{"field":"t"}`:                       "per-second: must be above 0",
		`{"per-second":1}`:                    "field: is missing",
		`{"field":"t","per-second":"fast"}`:   "per-second: must be float64, not string",
		`{"field":"t","per-second":1,"b":""}`: "b: unknown field",
	} {
		if _, err := flowtest.New(config); err == nil || err.Error() != wanted {
			t.Error(err)
		}
	}
}
