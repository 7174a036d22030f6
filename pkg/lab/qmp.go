package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"time"
)

// qmp is a connection to QEMU's monitor (QEMU Machine Protocol, docs/interop/qmp-spec). Not for concurrent use.
type qmp struct {
	conn   net.Conn
	in     *json.Decoder
	events []string // those that came while an answer was awaited, in order
}

// message is what QEMU sends: the answer to a command, or an event, which may come at any time.
type message struct {
	Event  string          `json:"event"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// dialQMP connects and leaves negotiation mode.
func dialQMP(ctx context.Context, socket string) (*qmp, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	q := &qmp{conn: conn, in: json.NewDecoder(conn)}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	var greeting struct {
		QMP json.RawMessage `json:"QMP"`
	}
	if err := q.in.Decode(&greeting); err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting of %s: %w", socket, err)
	}
	if err := q.run("qmp_capabilities", nil); err != nil {
		conn.Close()
		return nil, err
	}
	return q, nil
}

func (q *qmp) Close() error { return q.conn.Close() }

// run executes a command and waits for its answer; events that come before are kept.
func (q *qmp) run(command string, arguments map[string]any) error {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return fmt.Errorf("QEMU monitor: send %s: %w", command, err)
	}
	for {
		var m message
		if err := q.in.Decode(&m); err != nil {
			return fmt.Errorf("QEMU monitor: answer to %s: %w", command, err)
		}
		switch {
		case m.Error != nil:
			return fmt.Errorf("QEMU monitor: %s: %s: %s", command, m.Error.Class, m.Error.Desc)
		case m.Return != nil:
			return nil
		}
		q.events = append(q.events, m.Event)
	}
}

// await waits for an event that comes, or has come since the events were last forgotten.
func (q *qmp) await(event string) error {
	for !slices.Contains(q.events, event) {
		var m message
		if err := q.in.Decode(&m); err != nil {
			return fmt.Errorf("QEMU monitor: wait for %s: %w", event, err)
		}
		q.events = append(q.events, m.Event)
	}
	return nil
}

// setBootIndexes changes what the firmware is told at the machine's next reset. QEMU refuses an index that is in use,
// even by the same device, so all are taken away first.
func (q *qmp) setBootIndexes(b Blade, first Device) error {
	net, disk := bootIndexes(b, first)
	type entry struct {
		device string
		index  int
	}
	want := []entry{{"nic0", net}}
	for _, d := range b.Disks {
		if d.Boot {
			want = append(want, entry{"disk-" + d.Name, disk})
		}
	}
	for _, e := range want {
		if err := q.setBootIndex(e.device, -1); err != nil {
			return err
		}
	}
	for _, e := range want {
		if err := q.setBootIndex(e.device, e.index); err != nil {
			return err
		}
	}
	return nil
}

func (q *qmp) setBootIndex(device string, index int) error {
	return q.run("qom-set", map[string]any{"path": "/machine/peripheral/" + device, "property": "bootindex", "value": index})
}

// reset pulls the reset line and returns when the machine has restarted.
func (q *qmp) reset() error {
	q.events = nil
	if err := q.run("system_reset", nil); err != nil {
		return err
	}
	return q.await("RESET")
}
