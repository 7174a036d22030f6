package slot

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/begin.sh
var beginScript string

//go:embed scripts/follow.sh
var followScript string

// Job is one writing of the idle slot.
type Job struct {
	Slot  string
	Relay string // base address, http://ADDRESS:PORT
	// Envelope is the signed order.
	Envelope []byte
	// Spec is the digest of what the slot will hold: a writing of the same that goes on already is left alone.
	Spec model.Digest
	// RateMiBs limits what is fetched, MiB/s; 0: no limit.
	RateMiBs int
}

// Begin has the agent write the idle slot in the background: a systemd unit that goes on when the connection ends, with less right to processor and
// disks than anything else there. When the slot holds the same already, nothing is written. A writing of something else is ended first.
func (a Agent) Begin(ctx context.Context, j Job) error {
	if err := checkName(j.Slot); err != nil {
		return err
	}
	words := []string{"write", "--slot", j.Slot, "--relay", j.Relay}
	if j.RateMiBs > 0 {
		words = append(words, "--rate-limit", strconv.Itoa(j.RateMiBs))
	}
	cmd := a.change(words...)
	_, err := a.Host.Run(ctx, remote.Command{Argv: append([]string{"sh", "-euc", beginScript, "begin", string(j.Spec)}, cmd.Argv...), Stdin: bytes.NewReader(j.Envelope)})
	if err != nil {
		return fmt.Errorf("slot write: %w", err)
	}
	return nil
}

// Step is a line of the agent's progress.
type Step struct {
	Step  string `json:"step"` // fetch, retry, and the names of what is done afterwards
	Text  string `json:"text"`
	Done  int64  `json:"done"` // bytes
	Total int64  `json:"total"`
}

// Follow waits until the writing that was begun last ends, and gives the agent's last word. progress gets its steps.
func (a Agent) Follow(ctx context.Context, progress func(Step)) (Status, error) {
	lines, out := io.Pipe()
	var f following
	read := make(chan error, 1)
	go func() {
		err := f.read(lines, progress)
		_, _ = io.Copy(io.Discard, lines) // the command is to end whatever was wrong with its output
		read <- err
	}()
	_, err := a.Host.Run(ctx, remote.Command{Script: followScript, Stdout: out})
	out.Close()
	if readErr := <-read; err == nil {
		err = readErr
	}
	if err != nil {
		return Status{}, fmt.Errorf("slot write: %w", err)
	}
	return f.result()
}

// following is what follow.sh has printed so far.
type following struct {
	ended string
	last  []string
	out   []string
}

func (f *following) read(r io.Reader, progress func(Step)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, text, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "says":
			var s Step
			if json.Unmarshal([]byte(text), &s) == nil && s != (Step{}) {
				progress(s)
			}
		case "ended":
			f.ended = text
		case "last":
			f.last = append(f.last, text)
		case "out":
			f.out = append(f.out, text)
		}
	}
	return lines.Err()
}

// ErrWrite: the slot was begun and is not complete.
var ErrWrite = errors.New("the slot was not written to its end")

func (f *following) result() (Status, error) {
	said := strings.Join(f.last, "; ")
	switch f.ended {
	case "0":
		return parseStatus("slot write", []byte(strings.Join(f.out, "\n")))
	case strconv.Itoa(refused):
		return Status{}, fmt.Errorf("slot write: %w: %s", ErrRefused, said)
	}
	return Status{}, fmt.Errorf("slot write: %w: the agent ended with status %s: %s", ErrWrite, f.ended, said)
}
