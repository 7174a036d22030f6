package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeSerial stands in for QEMU: it listens on a socket and hands out the one connection that it takes.
func fakeSerial(t *testing.T, socket string) (accept func() net.Conn, off func()) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return func() net.Conn {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}, func() { listener.Close() }
}

// startLine runs a line on a socket, with a listener for those who leave and one for those who stay.
func startLine(t *testing.T, source string) (console, sol string) {
	t.Helper()
	line := newSerialLine(source)
	leaving, err := net.Listen("unix", source+".console")
	if err != nil {
		t.Fatal(err)
	}
	staying, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	go func() { ended <- line.run(ctx) }()
	go func() { ended <- line.serve(ctx, leaving, true) }()
	go func() { ended <- line.serve(ctx, staying, false) }()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Errorf("the line ended with %v", err)
			}
		}
	})
	return source + ".console", staying.Addr().String()
}

// reader connects and gives what comes, line by line.
func reader(t *testing.T, network, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn, bufio.NewReader(conn)
}

// repeat writes again and again until done is closed: what is written before the other end is in place is lost, as on any serial line.
func repeat(w io.Writer, text string, done <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = fmt.Fprint(w, text)
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// arrives writes until it is read at the other end.
func arrives(t *testing.T, who string, w io.Writer, r *bufio.Reader, text string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err := r.ReadString('\n')
		if err != nil || strings.TrimRight(got, "\r\n") != strings.TrimRight(text, "\r\n") {
			t.Errorf("%s: got %q, %v; want %q", who, got, err, text)
		}
	}()
	repeat(w, text, done)
}

// passes reads on until a line comes.
func passes(t *testing.T, who string, r *bufio.Reader, want string) {
	t.Helper()
	for {
		got, err := r.ReadString('\n')
		if err != nil {
			t.Errorf("%s: %v before %q", who, err, want)
			return
		}
		if got == want {
			return
		}
	}
}

func TestSerialLineIsShared(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "serial")
	console, sol := startLine(t, socket)

	// Off: a console is turned away, Serial-over-LAN stays.
	_, early := reader(t, "unix", console)
	if _, err := early.ReadByte(); err != io.EOF {
		t.Errorf("the console of a blade that is off: %v, want its end", err)
	}
	stay, stays := reader(t, "tcp", sol)

	accept, off := fakeSerial(t, socket)
	qemu := accept()
	keys := bufio.NewReader(qemu)
	arrives(t, "blade", stay, keys, "a\n") // from here on the line knows the blade to be on
	first, ones := reader(t, "unix", console)
	_, others := reader(t, "unix", console)
	arrives(t, "first", qemu, ones, "hello\n")
	arrives(t, "second", qemu, others, "hello\n")
	passes(t, "Serial-over-LAN", stays, "hello\n")
	if _, err := fmt.Fprint(first, "from the first\n"); err != nil {
		t.Fatal(err)
	}
	passes(t, "blade", keys, "from the first\n")

	off()
	qemu.Close()
	for who, r := range map[string]*bufio.Reader{"first": ones, "second": others} {
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("%s at power-off: %v, want its end", who, err)
		}
	}
	accept, _ = fakeSerial(t, socket)
	qemu = accept()
	arrives(t, "blade on again", stay, bufio.NewReader(qemu), "b\n")
}

// TestSerialOverLAN sees a blade's console by ipmitool through the real ipmi_sim, and types into it.
func TestSerialOverLAN(t *testing.T) {
	for _, program := range []string{"ipmi_sim", "ipmitool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; e2e/host-packages installs it", err)
		}
	}
	socket := filepath.Join(t.TempDir(), "serial")
	_, sol := startLine(t, socket)
	accept, _ := fakeSerial(t, socket)
	qemu := accept()

	m := newTestMachine(t, "blade-02")
	b := m.blade
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bmc := *b.BMC
	bmc.Address = udp.LocalAddr().String()
	b.BMC = &bmc
	udp.Close()
	if err := startIPMI(t.Context(), b, m.dirs, "/bin/true", sol); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.procs.end(context.Background(), ipmiProcName(b.Name), 5*time.Second); err != nil {
			t.Error(err)
		}
	})

	host, port, err := net.SplitHostPort(bmc.Address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ipmitool", "-I", "lanplus", "-C", "3", "-H", host, "-p", port, "-U", bmc.User, "-E", "sol", "activate")
	cmd.Env = []string{"IPMITOOL_PASSWORD=" + bmc.Password}
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := bufio.NewReader(out)
	arrives(t, "blade", keys, bufio.NewReader(qemu), "root\n")
	if _, err := fmt.Fprint(qemu, "blade-02 login:\r\n"); err != nil {
		t.Fatal(err)
	}
	passes(t, "ipmitool", seen, "blade-02 login:\r\n")
	if err := keys.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, seen); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ipmitool at the end of its input: %v", err)
	}
}
