package redfish

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Options configure the service. User and Password are required.
type Options struct {
	// User and Password are the one account, for sessions and for basic authentication.
	User, Password string
	// MaxSessions is how many sessions may be open at once; 4 when zero, as BMCs have few.
	MaxSessions int
	// SessionTimeout is how long an unused session lives; 30 minutes when zero.
	SessionTimeout time.Duration
	// BIOS are the firmware's attributes and their values at the start; a few when nil.
	// A change of one takes effect at the next start of the machine.
	BIOS map[string]any
	// Fault is asked at each request how to misbehave; nil never does.
	Fault func(*http.Request) Fault
	// Log receives one line for each request, without headers or bodies; nil discards.
	Log *slog.Logger
	// Now is the clock of sessions; time.Now when nil.
	Now func() time.Time
}

// Fault is how the service misbehaves at one request. The zero value is good behaviour.
type Fault struct {
	// Delay is waited before the request is looked at, or until the client has gone.
	Delay time.Duration
	// Status, when not zero, is answered instead of doing anything.
	Status int
	// Revert answers a write as if it had worked, without doing it.
	Revert bool
	// LoseReply does the work and then cuts the connection instead of answering.
	LoseReply bool
}

func (o Options) withDefaults() (Options, error) {
	if o.User == "" || o.Password == "" {
		return o, errors.New("redfish emulator: Options.User and Options.Password are required")
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 4
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = 30 * time.Minute
	}
	if o.BIOS == nil {
		o.BIOS = map[string]any{"BootMode": "Uefi", "ProcVirtualization": "Enabled", "SriovGlobalEnable": "Disabled"}
	}
	if o.Fault == nil {
		o.Fault = func(*http.Request) Fault { return Fault{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}
