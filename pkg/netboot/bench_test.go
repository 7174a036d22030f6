package netboot

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/sync/errgroup"
)

// The benchmark: boot files to many clients at once on loopback, by this package and by the servers that Debian has for
// it, in the same run, taking turns. It is asked for by NUBO_BENCH=1 (make bench).

const (
	benchClients = 200
	benchRounds  = 15
	benchHTTP    = 4 << 20 // bytes of the file fetched by HTTP, by each client
)

// fetchAll lets all clients fetch at once and returns how long the last one took, and how many failed.
func fetchAll(t *testing.T, want int64, fetch func() (int64, error)) (time.Duration, int) {
	t.Helper()
	failed := make(chan error, benchClients)
	var g errgroup.Group
	start := time.Now()
	for range benchClients {
		g.Go(func() error {
			n, err := fetch()
			if err == nil && n != want {
				err = fmt.Errorf("got %d of %d bytes", n, want)
			}
			if err != nil {
				failed <- err
			}
			return nil
		})
	}
	_ = g.Wait()
	took := time.Since(start)
	close(failed)
	count := len(failed)
	for err := range failed {
		t.Logf("a client failed: %v", err)
	}
	return took, count
}

// compare runs ours and the peer in turns and reports medians, the ratio, and failures. A ratio above 1 is faster than
// the peer. Our clients must not fail; being slower is reported, not failed, since two cores are a noisy judge.
func compare(t *testing.T, what, peer string, want int64, ours, theirs func() (int64, error)) {
	t.Helper()
	var a, b []time.Duration
	for range benchRounds {
		took, failed := fetchAll(t, want, ours)
		if failed > 0 {
			t.Errorf("%s: %d of %d of our clients failed", what, failed, benchClients)
		}
		a = append(a, took)
		took, failed = fetchAll(t, want, theirs)
		if failed > 0 {
			t.Logf("%s: %d clients of %s failed", what, failed, peer)
		}
		b = append(b, took)
	}
	slices.Sort(a)
	slices.Sort(b)
	ma, mb := a[len(a)/2], b[len(b)/2]
	mib := float64(want*benchClients) / (1 << 20)
	fmt.Printf("bench %s: %d clients, %.0f MiB: ours %v (%.0f MiB/s), %s %v (%.0f MiB/s), ratio %.2f [ours %v, peer %v]\n",
		what, benchClients, mib, ma.Round(time.Millisecond), mib/ma.Seconds(), peer, mb.Round(time.Millisecond), mib/mb.Seconds(),
		mb.Seconds()/ma.Seconds(), a, b)
}

// benchFiles lays down the real first stage and one large file, and returns the directory and the size of the first.
func benchFiles(t *testing.T) (dir string, firstStage int64) {
	t.Helper()
	dir = t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { // the peers drop their privileges
			t.Fatal(err)
		}
	}
	run(t, "cp", "/usr/lib/ipxe/"+bootFileEFI, dir)
	if err := os.WriteFile(filepath.Join(dir, "initrd"), make([]byte, benchHTTP), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, bootFileEFI))
	if err != nil {
		t.Fatal(err)
	}
	return dir, info.Size()
}

const benchDir = "NUBO_BENCH_DIR"

// benchServer runs a relay in a process of its own, as the peers run, and returns its addresses.
func benchServer(t *testing.T, dir string) (tftpAddr, baseURL string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchServe$")
	cmd.Env = append(os.Environ(), benchDir+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the relay's process: %v", err)
		}
	})
	if _, err := fmt.Fscanln(out, &tftpAddr, &baseURL); err != nil {
		t.Fatal(err)
	}
	return tftpAddr, baseURL
}

// TestBenchServe is the process of benchServer. It serves until its input ends.
func TestBenchServe(t *testing.T) {
	dir := os.Getenv(benchDir)
	if dir == "" {
		t.Skip("the other process of the benchmark")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, l := startOnLoopback(t, Config{Files: root.FS()}, testBook())
	fmt.Println(l.tftp.LocalAddr(), s.BaseURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	t.Logf("served %+v", s.Stats())
}

func wantBench(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("NUBO_BENCH") == "" {
		t.Skip("a benchmark: set NUBO_BENCH=1 (make bench)")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed (e2e/host-packages): %v", p, err)
		}
	}
}

// benchMachine gives each client an address of its own, as machines have.
func benchMachine() net.IP {
	n := benchMachines.Add(1)
	return net.IPv4(127, 1, byte(n/250), byte(1+n%250))
}

var benchMachines atomic.Uint32

func tftpFetch(addr string) func() (int64, error) {
	return func() (int64, error) {
		c, err := tftp.NewClient(addr)
		if err != nil {
			return 0, err
		}
		if err := c.SetLocalAddr(benchMachine().String()); err != nil {
			return 0, err
		}
		c.SetBlockSize(1468)
		c.SetTimeout(time.Second)
		wt, err := c.Receive(bootFileEFI, "octet")
		if err != nil {
			return 0, err
		}
		return wt.WriteTo(io.Discard)
	}
}

func TestBenchTFTP(t *testing.T) {
	wantBench(t, "in.tftpd")
	dir, size := benchFiles(t)
	ours, _ := benchServer(t, dir)
	port := freePort(t)
	program(t, "in.tftpd", "--foreground", "--listen", "--user", "nobody", "--address", fmt.Sprintf("127.0.0.1:%d", port), "--secure", dir)
	peer := tftpFetch(fmt.Sprintf("127.0.0.1:%d", port))
	eventually(t, 10*time.Second, "tftpd-hpa answers", func() bool { _, err := peer(); return err == nil })
	compare(t, "TFTP", "tftpd-hpa", size, tftpFetch(ours), peer)
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func httpFetch(url string) func() (int64, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: benchMachine()}}).DialContext(ctx, network, address)
	}}}
	return func() (int64, error) {
		resp, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("status %s", resp.Status)
		}
		return io.Copy(io.Discard, resp.Body)
	}
}

// nginxConf is Debian's own configuration as far as it matters here: a worker for each core, sendfile, tcp_nopush, and
// an access log.
const nginxConf = `worker_processes auto;
error_log DIR/error.log;
pid DIR/pid;
daemon off;
user nobody nogroup;
events { worker_connections 768; }
http {
  sendfile on; tcp_nopush on; types_hash_max_size 2048; access_log DIR/access.log;
  client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
  server { listen 127.0.0.1:PORT; root DIR; }
}
`

func TestBenchHTTP(t *testing.T) {
	wantBench(t, "nginx")
	dir, _ := benchFiles(t)
	_, ours := benchServer(t, dir)
	port := fmt.Sprint(freePort(t))
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(strings.NewReplacer("DIR", dir, "PORT", port).Replace(nginxConf)), 0o644); err != nil {
		t.Fatal(err)
	}
	nginx(t, conf)
	peer := httpFetch("http://127.0.0.1:" + port + "/initrd")
	eventually(t, 10*time.Second, "nginx answers", func() bool { _, err := peer(); return err == nil })
	compare(t, "HTTP", "nginx", benchHTTP, httpFetch(ours+"/boot/initrd"), peer)
}

// nginx runs in the foreground with workers; the master is asked to stop so that it takes them along.
func nginx(t *testing.T, conf string) {
	t.Helper()
	cmd := exec.Command("nginx", "-c", conf)
	out := &safeBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx printed:\n%s", out)
		}
	})
}
