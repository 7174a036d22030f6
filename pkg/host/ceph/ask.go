package ceph

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
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
func ask(ctx context.Context, h remote.Host, patience time.Duration, stop bool, list ...Command) ([]Reply, error) {
	request, err := json.Marshal(struct {
		Timeout  int       `json:"timeout"`
		Stop     bool      `json:"stop"`
		Commands []Command `json:"commands"`
	}{int(patience.Seconds()), stop, list})
	if err != nil {
		return nil, err
	}
	res, err := h.Run(ctx, remote.Command{Argv: []string{"/usr/bin/python3", "-c", askScript}, Stdin: bytes.NewReader(request),
		Limit: patience * time.Duration(2+len(list)/4)})
	if code, ran := remote.ExitCode(err); ran && (code == noAnswer || code == 124) {
		return nil, fmt.Errorf("ask the Ceph cluster: %w: %w", ErrNoAnswer, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the Ceph cluster: %w", err)
	}
	var out []Reply
	if err := json.Unmarshal(res.Stdout, &out); err != nil {
		return nil, fmt.Errorf("ask the Ceph cluster: its answer cannot be read: %w", err)
	}
	if len(out) > len(list) || (len(out) < len(list) && !stop) {
		return nil, fmt.Errorf("ask the Ceph cluster: %d answers to %d commands", len(out), len(list))
	}
	return out, nil
}

// tell puts commands of which each has to succeed.
func tell(ctx context.Context, h remote.Host, list ...Command) error {
	if len(list) == 0 {
		return nil
	}
	replies, err := ask(ctx, h, patience, true, list...)
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
