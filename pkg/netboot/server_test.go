package netboot

import (
	"context"
	"net/netip"
	"strings"
	"testing"
)

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := New(Config{Address: netip.MustParseAddr("fe80::1"), Mode: "both"}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"IPv4", `mode "both"`, "no boot files", "no decider"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestRunSaysWhyItCannotListen(t *testing.T) {
	cfg := testConfig()
	cfg.Interface = "lo"
	s, err := New(cfg, testBook())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "does not have the address") {
		t.Errorf("got %v", err)
	}
	cfg.Interface = "none0"
	if s, err = New(cfg, testBook()); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "none0") {
		t.Errorf("got %v", err)
	}
}

func TestRunNamesATakenPort(t *testing.T) {
	other, _ := startOnLoopback(t, testConfig(), testBook())
	s, err := New(other.cfg, testBook())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "listen for DHCP on port") {
		t.Errorf("got %v", err)
	}
}
