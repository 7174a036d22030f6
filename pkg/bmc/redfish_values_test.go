package bmc

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
)

func TestValuesThatBMCsWrite(t *testing.T) {
	var v struct {
		Null, Number, Object, Text word
		List, One                  words
		Whole, Old, Foreign        link
		Many, Alone                links
		Reading, Quoted, Missing   reading
		Status, Odd                health
	}
	raw := `{"Null":null,"Number":12,"Object":{},"Text":" x ","List":["a",null,7],"One":"a",
		"Whole":{"@odata.id":"https://10.0.0.1:8443/redfish/v1/Systems/1?x=1"},"Old":{"href":"/rest/v1"},"Foreign":{"@odata.id":"relative"},
		"Many":[{"@odata.id":"/a"},{"@odata.id":"//evil/b"},{}],"Alone":{"@odata.id":"/c"},
		"Reading":1.5,"Quoted":"2.5","Missing":"N/A","Status":{"Health":"OK"},"Odd":"OK"}`
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		string(v.Null) + string(v.Object): "", string(v.Number): "12", string(v.Text): "x",
		string(v.Whole): "/redfish/v1/Systems/1?x=1", string(v.Old): "/rest/v1", string(v.Foreign) + string(v.Odd): "", string(v.Status): "OK",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if len(v.List) != 2 || v.List[1] != "7" || len(v.One) != 1 {
		t.Errorf("words: %v %v", v.List, v.One)
	}
	if len(v.Many) != 2 || v.Many[1] != "/b" || len(v.Alone) != 1 || v.Alone[0] != "/c" {
		t.Errorf("links: %v %v", v.Many, v.Alone)
	}
	if v.Reading != (reading{1.5, true}) || v.Quoted != (reading{2.5, true}) || v.Missing.told {
		t.Errorf("readings: %+v %+v %+v", v.Reading, v.Quoted, v.Missing)
	}
}

func TestThePauseThatABMCAsksFor(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "2": 2 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0,
		"Wed, 21 Oct 2015 07:28:00 GMT": 0, "86400": longestPause, "99999999999999999999": 0} {
		if got := retryAfter(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	busy := fault(ErrBusy, "HTTP 503")
	busy.pause = 3 * time.Second
	var pause *backoff.RetryAfterError
	if err := asked(busy); !errors.As(err, &pause) || pause.Duration != busy.pause || !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want one that makes backoff wait %v", err, busy.pause)
	}
	if err := asked(fault(ErrBusy, "HTTP 503")); errors.As(err, &pause) {
		t.Errorf("%v makes backoff wait, and nobody asked for it", err)
	}
}
