package bmc

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stmcginnis/gofish/common"
)

// TestFillers: what stands where a serial number should, and what does although it looks odd.
func TestFillers(t *testing.T) {
	for _, filler := range []string{"", " ", "To be filled by O.E.M.", "Default string", "NULL", "n/a", "0000000000", "XXXXXXXX", "0123456789", "................", "0x00", "Chassis Serial Number"} {
		if got := known(filler); got != "" {
			t.Errorf("%q counts as the serial number %q", filler, got)
		}
	}
	for _, serial := range []string{"SER-1", " CZ1234 ", "1111", "0X1", "VM None 7"} {
		if known(serial) == "" {
			t.Errorf("%q counts as no serial number", serial)
		}
	}
}

// FuzzRefusals lets a BMC refuse with anything: it is told in words, with its status, and by a kind.
func FuzzRefusals(f *testing.F) {
	f.Add(400, []byte(`{"error":{"@Message.ExtendedInfo":{"MessageId":"SYS428","Message":"no"}}}`))
	f.Add(409, []byte(`{"Boot":{"BootSourceOverrideMode@Message.ExtendedInfo":[{"MessageId":"Base.1.8.PropertyNotWritable"},"x",7,null]}}`))
	f.Add(400, []byte(`{"Messages":[{"MessageID":"iLO.0.10.UnauthorizedLoginAttempt"}],"Type":"ExtendedError.0.9.6"}`))
	f.Add(503, []byte("\xef\xbb\xbf<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 400 || status > 599 {
			t.Skip("no refusal")
		}
		err := answerTo("GET", "/redfish/v1/", common.ConstructError(status, body))
		e := redfishFault(err)
		if statusOf(e) != status || e.Kind == nil || e.Remedy == "" {
			t.Errorf("status %d, kind %v, remedy %q of %q", statusOf(e), e.Kind, e.Remedy, body)
		}
		if errors.Is(e, ErrAuth) && e.Transient() {
			t.Errorf("a refused login is tried again: %v", e)
		}
		if text := messagesIn(body, deepest).String(); text != "" && !json.Valid(body) && body[0] != mark[0] {
			t.Errorf("%q is no JSON and says %q", body, text)
		}
	})
}
