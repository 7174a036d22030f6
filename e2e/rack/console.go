//go:build e2e

package rack

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Console is all that a blade has printed since it was last switched on.
func (r *Rack) Console(blade string) string {
	text, err := os.ReadFile(r.Path("blades", blade, "serial.log"))
	if err != nil {
		return ""
	}
	return string(text)
}

// Explain prints, when the test fails, what the blades said last, and the ends of further log files.
func (r *Rack) Explain(t *testing.T, blades []string, logs ...string) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, b := range blades {
			t.Logf("the console of %s ends with:\n%s", b, tail(r.Console(b), 60))
		}
		for _, l := range logs {
			text, err := os.ReadFile(l)
			if err != nil {
				continue // it was not begun
			}
			t.Logf("%s ends with:\n%s", l, tail(string(text), 40))
		}
	})
}

// tail gives the last lines, without the escape sequences of firmware.
func tail(text string, lines int) string {
	text = strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || c >= ' ' && c != 0x7f {
			return c
		}
		return -1
	}, text)
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Within bounds a wait of a test.
func Within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("it had %s", d))
	t.Cleanup(cancel)
	return ctx
}

// Eventually tries until try returns nil, and fails the test with try's last error when the context ends first.
func Eventually(ctx context.Context, t *testing.T, what string, try func() error) {
	t.Helper()
	t.Logf("waiting for %s", what)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s (%v): %v", what, context.Cause(ctx), err)
		}
	}
}

// Says waits until a blade's console holds a text.
func (r *Rack) Says(ctx context.Context, t *testing.T, blade, text string) {
	t.Helper()
	Eventually(ctx, t, fmt.Sprintf("the console of %s to say %q", blade, text), func() error {
		if !strings.Contains(r.Console(blade), text) {
			return fmt.Errorf("its last line is %q", tail(r.Console(blade), 1))
		}
		return nil
	})
}

// Figure prints a measured time in a form that is easily found in a log.
func Figure(t *testing.T, name string, d time.Duration) {
	t.Helper()
	fmt.Fprintf(t.Output(), "FIGURE %s %.1f s\n", name, d.Seconds())
}

// SizeFigure prints a measured size.
func SizeFigure(t *testing.T, name string, bytes int64) {
	t.Helper()
	fmt.Fprintf(t.Output(), "FIGURE %s %.1f MB\n", name, float64(bytes)/1e6)
}
