package bmc_test

import (
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

func TestPoolKeepsOneSession(t *testing.T) {
	p := startPeer(t, redfish.Options{MaxSessions: 1})
	var pool bmc.Pool
	var group sync.WaitGroup
	ready, done := make(chan bmc.Client, 4), make(chan struct{})
	for range 4 {
		group.Go(func() {
			client, err := pool.Open(t.Context(), p.target())
			if err != nil {
				t.Error(err)
				ready <- nil
				return
			}
			ready <- client
			<-done
			if err := client.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		if client := <-ready; client != nil {
			reads(t, client, bmc.Off)
		}
	}
	if n := p.service.Sessions(); n != 1 {
		t.Errorf("%d sessions for four holders, want one", n)
	}
	close(done)
	group.Wait()
	if n := p.service.Sessions(); n != 0 {
		t.Errorf("%d sessions are left, want none", n)
	}
}

func TestPoolRefusesAnotherDescription(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	var pool bmc.Pool
	client, err := pool.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	other := p.target()
	other.Credentials.Password = "another"
	if _, err := pool.Open(t.Context(), other); !isKind(err, bmc.ErrInvalid) {
		t.Errorf("another password for a BMC in use: %v, want %v", err, bmc.ErrInvalid)
	}
	for range 2 {
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := pool.Open(t.Context(), other); !isKind(err, bmc.ErrAuth) {
		t.Errorf("after the first has gone: %v, want %v", err, bmc.ErrAuth)
	}
}

func reads(t *testing.T, client bmc.PowerController, want bmc.PowerState) {
	t.Helper()
	if got, err := client.Power(t.Context()); err != nil || got != want {
		t.Errorf("Power: %q, %v, want %q", got, err, want)
	}
}
