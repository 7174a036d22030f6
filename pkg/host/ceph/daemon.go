package ceph

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/create.sh
var createScript string

//go:embed scripts/mon.sh
var monScript string

//go:embed scripts/mgr.sh
var mgrScript string

//go:embed scripts/osd.sh
var osdScript string

// The files of a host that belong to a cluster.
const (
	confPath  = "/etc/ceph/ceph.conf"
	adminPath = "/etc/ceph/ceph.client.admin.keyring"
)

// notEmpty is the exit code of osd.sh for a disk with something on it.
const notEmpty = 65

// daemonTime bounds what one script may take on a slow or busy host.
const daemonTime = 15 * time.Minute

// Create makes the cluster with its first monitor on this host, and starts it. It may be repeated. That no other cluster is to be found is for the
// caller to see to.
func Create(ctx context.Context, h remote.Host, s Spec, p Place) error {
	m, ok := s.mon(p.Name)
	if err := s.Check(); err != nil || !ok {
		return fmt.Errorf("create a Ceph cluster on %s: %w", p.Name, errors.Join(err, missingMon(ok)))
	}
	if err := Configure(ctx, h, Conf(s, &p)); err != nil {
		return err
	}
	if err := run(ctx, h, createScript, nil, p.Name, s.FSID, m.vector()); err != nil {
		return fmt.Errorf("create a Ceph cluster on %s: %w", p.Name, err)
	}
	return nil
}

func missingMon(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("it is none of the cluster's monitors")
}

// Configure writes ceph.conf where it is another.
func Configure(ctx context.Context, h remote.Host, conf string) error {
	_, err := remote.Ensure(ctx, h, remote.Bytes(confPath, 0o644, []byte(conf)))
	return err
}

// AdminKeyring reads the admin's key from a host that has one. It goes to further monitors and nowhere else.
func AdminKeyring(ctx context.Context, h remote.Host) (Secret, error) {
	text, err := remote.ReadFile(ctx, h, adminPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the host has no key of the cluster's administrator: %w", err)
	}
	return Secret(text), err
}

// EnsureMon makes and starts a further monitor. admin is the admin's keyring.
func EnsureMon(ctx context.Context, h remote.Host, s Spec, p Place, admin Secret) error {
	if _, ok := s.mon(p.Name); !ok {
		return fmt.Errorf("monitor on %s: %w", p.Name, missingMon(false))
	}
	if err := administer(ctx, h, s, p, admin); err != nil {
		return err
	}
	if err := run(ctx, h, monScript, nil, p.Name); err != nil {
		return fmt.Errorf("monitor on %s: %w", p.Name, err)
	}
	return nil
}

// EnsureMgr makes and starts a manager. admin is the admin's keyring; it stays on hosts with a monitor only.
func EnsureMgr(ctx context.Context, h remote.Host, s Spec, p Place, admin Secret) error {
	if err := administer(ctx, h, s, p, admin); err != nil {
		return err
	}
	err := run(ctx, h, mgrScript, nil, p.Name)
	if _, mon := s.mon(p.Name); !mon {
		_, rmErr := h.Run(context.WithoutCancel(ctx), remote.Command{Argv: []string{"rm", "-f", adminPath}, Limit: time.Minute})
		err = errors.Join(err, rmErr)
	}
	if err != nil {
		return fmt.Errorf("manager on %s: %w", p.Name, err)
	}
	return nil
}

func administer(ctx context.Context, h remote.Host, s Spec, p Place, admin Secret) error {
	if err := Configure(ctx, h, Conf(s, &p)); err != nil {
		return err
	}
	_, err := remote.Ensure(ctx, h, remote.File{Path: adminPath, Mode: 0o600, Owner: "root:root", Content: admin.Reader()})
	return err
}

// BootstrapOSD fetches the key that new OSDs introduce themselves with, from a host that has the admin's.
func BootstrapOSD(ctx context.Context, h remote.Host) (Secret, error) {
	res, err := h.Run(ctx, remote.Command{Argv: []string{"ceph", "--connect-timeout", "60", "auth", "get", "client.bootstrap-osd"}, Limit: 5 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("read the key of client.bootstrap-osd: %w", err)
	}
	return Secret(res.Stdout), nil
}

// EnsureOSD makes a disk an OSD. A disk that holds anything gives ErrNotEmpty, unless consent is given, which means that all of it is lost.
func EnsureOSD(ctx context.Context, h remote.Host, p Place, disk model.Disk, bootstrap Secret, consent bool) error {
	word := map[bool]string{true: "yes", false: "no"}
	serial := disk.Serial
	if serial == "" {
		serial = "-"
	}
	err := run(ctx, h, osdScript, bootstrap, disk.Name, serial, word[p.Crypt], word[consent])
	if code, ran := remote.ExitCode(err); ran && code == notEmpty {
		err = fmt.Errorf("%w; wipe it by hand, or allow its loss in the inventory: consent = [%q]: %w", ErrNotEmpty, disk.Serial, err)
	}
	if err != nil {
		return fmt.Errorf("OSD on disk %s (%s) of %s: %w", disk.Serial, disk.Name, p.Name, err)
	}
	return nil
}

//go:embed scripts/activate.sh
var activateScript string

// Activate mounts and starts all OSDs of the host's disks.
func Activate(ctx context.Context, h remote.Host) error {
	if err := run(ctx, h, activateScript, nil); err != nil {
		return fmt.Errorf("activate OSDs: %w", err)
	}
	return nil
}

// run runs one of the scripts with arguments. What it reads is a secret.
func run(ctx context.Context, h remote.Host, script string, stdin Secret, args ...string) error {
	c := remote.Command{Argv: append([]string{"sh", "-euc", script, "nubo-ceph"}, args...), Limit: daemonTime}
	if stdin != nil {
		c.Stdin = stdin.Reader()
	}
	_, err := h.Run(ctx, c)
	return err
}

// KeyOf reads the key of an identity, bare, from a host that has the admin's.
func KeyOf(ctx context.Context, h remote.Host, entity string) (Secret, error) {
	res, err := h.Run(ctx, remote.Command{Argv: []string{"ceph", "--connect-timeout", "120", "auth", "get-key", entity}, Limit: 5 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("read the key of %s: %w", entity, err)
	}
	return Secret(res.Stdout), nil
}
