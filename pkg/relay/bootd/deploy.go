package bootd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Site says where a daemon is kept on a host.
type Site struct {
	Host    remote.Host
	Name    string // for messages
	Network string // one daemon per network
}

// dir is on a file system that outlives a reboot, since orders and nonces are in it.
func (s Site) dir() string { return path.Join("/var/lib/nubo-bootd", s.Network) }

// Client drives the daemon over the host's SSH connection.
func (s Site) Client() *relay.Client {
	return relay.NewClient(s.Name, func(ctx context.Context) (net.Conn, error) {
		return s.Host.Dial(ctx, "unix", path.Join(s.dir(), socketFile))
	})
}

// Deploy brings program and configuration to the host and sees that the daemon runs with them. One that already does is left alone; an older
// one is replaced, which clients of the network survive: they ask again.
func (s Site) Deploy(ctx context.Context, binary string, cfg Config) (*relay.Client, error) {
	cfg.FormatVersion = 1
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("relay on %s: %w", s.Name, err)
	}
	program, err := os.Open(binary)
	if err != nil {
		return nil, fmt.Errorf("relay on %s: the program to push: %w", s.Name, err)
	}
	defer program.Close()
	if _, err := s.Host.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", "-m", "0700", s.dir()}}); err != nil {
		return nil, fmt.Errorf("relay on %s: %w", s.Name, err)
	}
	newProgram, err1 := remote.Ensure(ctx, s.Host, remote.File{Path: path.Join(s.dir(), binaryFile), Mode: 0o700, Content: program})
	newConfig, err2 := remote.Ensure(ctx, s.Host, remote.File{Path: path.Join(s.dir(), configFile), Mode: 0o600, Content: strings.NewReader(string(text))})
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("relay on %s: %w", s.Name, err)
	}
	c := s.Client()
	if _, err := c.Status(ctx); err == nil && !newProgram && !newConfig {
		return c, nil
	}
	if _, err := s.Host.Run(ctx, remote.Command{Script: restartScript(s.dir()), Limit: 30 * time.Second}); err != nil {
		return nil, fmt.Errorf("relay on %s: start it: %w", s.Name, err)
	}
	return c, s.await(ctx, c)
}

// restartScript ends the daemon that the pid file names, if that is really one, and starts a new one that no longer belongs to the session.
func restartScript(dir string) string {
	return fmt.Sprintf(`cd %[1]s
if pid=$(cat %[2]s 2>/dev/null) && [ "$(readlink /proc/$pid/cwd 2>/dev/null)" = %[1]s ]; then
  kill "$pid" || true
  tail --pid="$pid" -f /dev/null
fi
setsid ./%[3]s --dir %[1]s </dev/null >>%[4]s 2>&1 &
`, remote.Quote(dir), pidFile, binaryFile, logFile)
}

// await waits for the daemon to answer; when it does not, the end of its log says why.
func (s Site) await(ctx context.Context, c *relay.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		_, err := c.Status(ctx)
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	logged, logErr := s.Host.Run(context.WithoutCancel(ctx), remote.Command{Argv: []string{"tail", "-n", "5", path.Join(s.dir(), logFile)}, Limit: 10 * time.Second})
	if logErr == nil {
		err = fmt.Errorf("%w; its log ends with: %s", err, strings.TrimSpace(string(logged.Stdout)))
	}
	return fmt.Errorf("relay on %s does not answer after its start: %w", s.Name, err)
}
