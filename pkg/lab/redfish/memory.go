package redfish

import (
	"context"
	"sync"
)

// Memory is a Machine without hardware: it remembers what it was told. Starting it uses up a
// boot override that was set for once, as firmware does.
type Memory struct {
	info Info

	mu    sync.Mutex
	on    bool
	boot  Boot
	media string
	boots []Boot
	lines []string
}

var (
	_ Machine     = (*Memory)(nil)
	_ MediaHolder = (*Memory)(nil)

	_ ConsoleKeeper = (*Memory)(nil)
)

// NewMemory returns a machine that is switched off and boots by its own order, in UEFI mode.
func NewMemory(info Info) *Memory {
	return &Memory{info: info, boot: Boot{Target: "None", Enabled: "Disabled", Mode: "UEFI"}}
}

// Info implements Machine.
func (m *Memory) Info() Info { return m.info }

// Power implements Machine.
func (m *Memory) Power(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on, nil
}

// SetPower implements Machine.
func (m *Memory) SetPower(_ context.Context, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if on && !m.on {
		m.boots = append(m.boots, m.boot)
		if m.boot.Enabled == "Once" {
			m.boot.Target, m.boot.Enabled = "None", "Disabled"
		}
	}
	m.on = on
	return nil
}

// Boot implements Machine.
func (m *Memory) Boot(context.Context) (Boot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boot, nil
}

// SetBoot implements Machine.
func (m *Memory) SetBoot(_ context.Context, b Boot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot = b
	return nil
}

// SetMedia implements MediaHolder.
func (m *Memory) SetMedia(_ context.Context, url string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.media = url
	return nil
}

// Print adds lines to the console.
func (m *Memory) Print(lines ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, lines...)
}

// ConsoleLines implements ConsoleKeeper.
func (m *Memory) ConsoleLines() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.lines...), nil
}

// Media tells the URL of the inserted image; empty when there is none.
func (m *Memory) Media() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.media
}

// Boots lists the override that held at each start so far, oldest first.
func (m *Memory) Boots() []Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Boot(nil), m.boots...)
}
