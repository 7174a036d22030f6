package ceph

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/ask.py
var askScript string

// Command is one of Ceph's commands, by the names of its parameters (MonCommands.h): "prefix" above all.
type Command map[string]any

// cmd makes a command that answers in JSON.
func cmd(prefix string, pairs ...any) Command {
	c := Command{"prefix": prefix, "format": "json"}
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i].(string)] = pairs[i+1]
	}
	return c
}

// toMgr sends a command to the manager, which knows of placement groups.
func toMgr(c Command) Command {
	c["_to"] = "mgr"
	return c
}

// Reply is what came back: Code is 0 or a negative errno, Text a line for people, Out what was asked for, without any key.
type Reply struct {
	Code int             `json:"code"`
	Text string          `json:"text"`
	Out  json.RawMessage `json:"out"`
}

// What can go wrong, for errors.Is.
var (
	// ErrNoAnswer: the cluster, or its quorum, does not answer.
	ErrNoAnswer = errors.New("the cluster does not answer")
	// ErrNotEmpty: a disk holds something, and nobody consented to its loss.
	ErrNotEmpty = errors.New("the disk is not empty")
)

// noAnswer is the exit code of ask.py when it cannot connect.
const noAnswer = 69

// ask puts commands to the cluster over one connection, from a host that has the admin's key. It waits at most patience for an answer to each. With
// stop, what comes after the first command that fails is not asked.
func ask(ctx context.Context, h remote.Host, stop bool, list ...Command) ([]Reply, error) {
	request, limit, err := request(stop, list)
	if err != nil {
		return nil, err
	}
	res, err := h.Run(ctx, remote.Command{Argv: asker(), Stdin: bytes.NewReader(request), Limit: limit})
	return replies(res.Stdout, err, stop, list)
}

// look puts commands that change nothing. Where the host can keep the connection to the cluster, it is there for the next look: to start Python, to load librados and
// to connect takes longer than most answers.
func look(ctx context.Context, h remote.Host, list ...Command) ([]Reply, error) {
	t, ok := h.(remote.Talker)
	if !ok {
		return ask(ctx, h, false, list...)
	}
	request, limit, err := request(false, list)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit+patience, fmt.Errorf("%w within %s", ErrNoAnswer, limit+patience)) // ask.py ends itself before
	defer cancel()
	line, err := t.Talk(ctx, remote.Command{Argv: asker()}, request)
	return replies(line, err, false, list)
}

func asker() []string { return []string{"/usr/bin/python3", "-c", askScript} }

// request is what ask.py reads, and how long it may take.
func request(stop bool, list []Command) ([]byte, time.Duration, error) {
	limit := patience * time.Duration(2+len(list)/4)
	raw, err := json.Marshal(struct {
		Timeout  int       `json:"timeout"`
		Limit    int       `json:"limit"`
		Stop     bool      `json:"stop"`
		Commands []Command `json:"commands"`
	}{int(patience.Seconds()), int(limit.Seconds()), stop, list})
	return raw, limit, err
}

// replies reads what ask.py has printed, or says why there is nothing.
func replies(line []byte, err error, stop bool, list []Command) ([]Reply, error) {
	if silent(err) {
		return nil, fmt.Errorf("ask the Ceph cluster: %w: %w", ErrNoAnswer, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the Ceph cluster: %w", err)
	}
	var out []Reply
	if err := json.Unmarshal(line, &out); err != nil {
		return nil, fmt.Errorf("ask the Ceph cluster: its answer cannot be read: %w", err)
	}
	if len(out) > len(list) || (len(out) < len(list) && !stop) {
		return nil, fmt.Errorf("ask the Ceph cluster: %d answers to %d commands", len(out), len(list))
	}
	return out, nil
}

// silent tells a cluster that does not answer from a host that does not: ask.py could not connect, or was ended, by coreutils' timeout or by its own, while it waited.
func silent(err error) bool {
	var exit *remote.ExitError
	return errors.As(err, &exit) && (exit.Code == noAnswer || exit.Code == 124 || exit.Code == 128+int(syscall.SIGALRM) || exit.Signal == "ALRM")
}

// tell puts commands of which each has to succeed.
func tell(ctx context.Context, h remote.Host, list ...Command) error {
	if len(list) == 0 {
		return nil
	}
	replies, err := ask(ctx, h, true, list...)
	if err != nil {
		return err
	}
	for i, r := range replies {
		if r.Code != 0 {
			return fmt.Errorf("ceph %s: %s (error %d)", list[i].text(), r.Text, -r.Code)
		}
	}
	return nil
}

// patience is how long one command may take; a busy cluster has to elect and to write first.
const patience = time.Minute

// text is the command for people.
func (c Command) text() string {
	text, _ := c["prefix"].(string)
	for _, k := range []string{"entity", "name", "pool", "var", "val", "rule", "app", "profile"} {
		if v, ok := c[k]; ok {
			text += fmt.Sprint(" ", v)
		}
	}
	return text
}
