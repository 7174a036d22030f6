package remote

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// Fake is a Host for unit tests: it answers commands by rule, records everything, and hands what no rule matches to Next, if there is one.
// The zero value knows no command. It is safe for use by several goroutines.
type Fake struct {
	// Next runs what no rule answers; nil makes that an error.
	Next Host
	// Dialer answers Dial; nil hands it to Next.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	rules []fakeRule
	calls []Call
	files map[string][]byte
}

// Call is one recorded use of a Fake: a command line, or "write PATH MODE OWNER".
type Call struct {
	Line  string
	Stdin string // what the command was given to read, or the file's content
}

type fakeRule struct {
	match  string
	answer func(line, stdin string) (Result, error)
}

// On answers every command whose line contains match by calling answer. Later rules go first.
func (f *Fake) On(match string, answer func(line, stdin string) (Result, error)) *Fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append([]fakeRule{{match, answer}}, f.rules...)
	return f
}

// Answer answers every command whose line contains match with a fixed stdout.
func (f *Fake) Answer(match, stdout string) *Fake {
	return f.On(match, func(string, string) (Result, error) { return Result{Stdout: []byte(stdout)}, nil })
}

// Fail makes every command whose line contains match end with code and stderr.
func (f *Fake) Fail(match string, code int, stderr string) *Fake {
	return f.On(match, func(line, _ string) (Result, error) {
		return Result{Stderr: []byte(stderr)}, &ExitError{Host: "fake", Command: line, Code: code, Stderr: stderr}
	})
}

// Calls gives what was asked so far, in order.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.calls...)
}

// File gives what was written to a path.
func (f *Fake) File(name string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, ok := f.files[name]
	return content, ok
}

// Run answers by rule.
func (f *Fake) Run(ctx context.Context, cmd Command) (Result, error) {
	line, err := cmd.Line()
	if err != nil {
		return Result{}, &Error{Host: "fake", Op: "run " + cmd.String(), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return Result{}, &Error{Host: "fake", Op: "run " + cmd.String(), Err: err}
	}
	rule := f.find(line)
	if rule == nil && f.Next != nil {
		f.record(Call{Line: line})
		return f.Next.Run(ctx, cmd)
	}
	stdin := ""
	if cmd.Stdin != nil {
		b, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return Result{}, err
		}
		stdin = string(b)
	}
	f.record(Call{Line: line, Stdin: stdin})
	if rule == nil {
		return Result{}, fmt.Errorf("fake host: no rule answers the command %q", line)
	}
	res, err := rule.answer(line, stdin)
	return f.deliver(cmd, res, err)
}

// deliver sends the output where the command wants it.
func (f *Fake) deliver(cmd Command, res Result, err error) (Result, error) {
	out := newOutputs(cmd)
	if _, werr := out.stdout.Write(res.Stdout); werr != nil {
		return Result{}, werr
	}
	if _, werr := out.stderr.Write(res.Stderr); werr != nil {
		return Result{}, werr
	}
	return out.result(cmd), err
}

// Write keeps the content in memory, or hands it to Next.
func (f *Fake) Write(ctx context.Context, file File) error {
	if err := file.check(); err != nil {
		return err
	}
	if f.Next != nil {
		if err := f.Next.Write(ctx, file); err != nil {
			return err
		}
	}
	if _, err := file.sum(); err != nil { // rewinds
		return err
	}
	content, err := io.ReadAll(file.Content)
	if err != nil {
		return err
	}
	f.record(Call{Line: strings.TrimSpace(fmt.Sprintf("write %s %s %s", file.Path, file.mode(), file.Owner)), Stdin: string(content)})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		f.files = map[string][]byte{}
	}
	f.files[file.Path] = content
	return ctx.Err()
}

// Dial asks Dialer, then Next.
func (f *Fake) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.record(Call{Line: "dial " + network + " " + address})
	switch {
	case f.Dialer != nil:
		return f.Dialer(ctx, network, address)
	case f.Next != nil:
		return f.Next.Dial(ctx, network, address)
	}
	return nil, &Error{Host: "fake", Op: "dial " + network + " " + address, Err: ErrUnreachable}
}

func (f *Fake) find(line string) *fakeRule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		if strings.Contains(line, f.rules[i].match) {
			return &f.rules[i]
		}
	}
	return nil
}

func (f *Fake) record(c Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
}
