package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseSlot(t *testing.T) {
	for line, want := range map[string]slotArgs{
		"status": {verb: "status"},
		"write --slot b --relay http://10.0.0.1:80 --rate-limit 5 --epoch 7": {verb: "write", slot: "b", relay: "http://10.0.0.1:80", rate: 5, epoch: 7},
		"try --slot a":                {verb: "try", slot: "a", deadline: 15 * time.Minute},
		"try --slot a --deadline 90s": {verb: "try", slot: "a", deadline: 90 * time.Second},
		"good --epoch 3":              {verb: "good", epoch: 3},
		"cancel":                      {verb: "cancel"},
		"watch":                       {verb: "watch"},
	} {
		if got, err := parseSlot(strings.Fields(line)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "erase", "write", "write --slot c", "try", "good --slot a", "status now", "try --slot a --epoch x"} {
		if got, err := parseSlot(strings.Fields(line)); err == nil {
			t.Errorf("%q accepted: %+v", line, got)
		}
	}
}

func TestUsage(t *testing.T) {
	if got := start([]string{"nonsense"}); got != 1 {
		t.Errorf("an unknown command ends with %d", got)
	}
	if got := start([]string{"version"}); got != 0 {
		t.Errorf("version ends with %d", got)
	}
}
