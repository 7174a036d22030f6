package remote

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
)

// Talker is a host that keeps a program running from one question to the next: where a look needs a program that takes long to start.
type Talker interface {
	// Talk puts one line to the program and gives the line that it answers, both without the end of line. A question may be put twice, when the program that
	// ran already turns out to have ended, so it must change nothing. When ctx ends first, its error is returned and the program is ended. A program that
	// ends without an answer gives what Run gives.
	Talk(ctx context.Context, program Command, line []byte) ([]byte, error)
}

// talks keeps the programs that wait for their next question. The zero value is ready.
type talks struct {
	mu   sync.Mutex
	idle map[string][]*talk // by their arguments
}

// maxIdle is how many of one program may wait: each of them holds a session of the host's connection.
const maxIdle = 2

// errSilent: a program ended well and said nothing.
var errSilent = errors.New("the program ended without an answer")

// ask puts a line to a program that waits, else to a new one.
func (k *talks) ask(ctx context.Context, h Host, program Command, line []byte) ([]byte, error) {
	key := strings.Join(program.Argv, "\x00")
	for {
		t := k.take(key)
		kept := t != nil
		if !kept {
			t = begin(ctx, h, program)
		}
		answer, err := t.ask(ctx, line)
		switch {
		case err == nil:
			k.keep(key, t)
			return answer, nil
		case !kept || ctx.Err() != nil:
			return nil, err
		}
	}
}

// take gives a program that waits, nil when none does.
func (k *talks) take(key string) *talk {
	k.mu.Lock()
	defer k.mu.Unlock()
	for list := k.idle[key]; len(list) > 0; {
		t := list[len(list)-1]
		list = list[:len(list)-1]
		k.idle[key] = list
		if !t.over() {
			return t
		}
	}
	return nil
}

// keep has a program wait for the next question.
func (k *talks) keep(key string, t *talk) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.idle == nil {
		k.idle = map[string][]*talk{}
	}
	if len(k.idle[key]) >= maxIdle {
		t.in.Close()
		return
	}
	k.idle[key] = append(k.idle[key], t)
}

// close ends those that wait.
func (k *talks) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, list := range k.idle {
		for _, t := range list {
			t.in.Close()
		}
	}
	k.idle = nil
}

// talk is a program that runs.
type talk struct {
	in    *io.PipeWriter
	lines *bufio.Scanner
	end   context.CancelFunc
	done  chan struct{} // closed when it has ended
	err   error         // how, once it has
}

// begin starts a program, which outlives the question that it is started for.
func begin(ctx context.Context, h Host, program Command) *talk {
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	t := &talk{in: in, lines: bufio.NewScanner(out), end: end, done: make(chan struct{})}
	t.lines.Buffer(nil, MaxOutput)
	program.Stdin, program.Stdout = stdin, stdout
	go func() {
		defer end()
		_, t.err = h.Run(ctx, program)
		close(t.done)
		stdin.Close()
		stdout.Close()
	}()
	return t
}

func (t *talk) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// ask puts one line. After an error the program has ended, or is about to.
func (t *talk) ask(ctx context.Context, line []byte) ([]byte, error) {
	stop := context.AfterFunc(ctx, t.end)
	defer stop()
	_, err := t.in.Write(append(line[:len(line):len(line)], '\n'))
	if err == nil && t.lines.Scan() {
		return append([]byte(nil), t.lines.Bytes()...), nil
	}
	if err := t.lines.Err(); err != nil { // it goes on to say more than anybody can hold
		t.end()
		return nil, errors.Join(ErrTooMuchOutput, err)
	}
	<-t.done
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case t.err != nil:
		return nil, t.err
	}
	return nil, errSilent
}
