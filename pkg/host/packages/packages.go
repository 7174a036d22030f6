// Package packages puts Debian packages in place on a running host: it brings their files, has dpkg and apt try the installation out and carry it out, with nothing but these
// files and no archive, holds back the restarts that maintainer scripts would do, and does those that it is told. What becomes of virtual machines and of Ceph's daemons meanwhile is
// its caller's business.
package packages

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/common.sh
var common string

//go:embed scripts/state.sh
var stateScript string

//go:embed scripts/have.sh
var haveScript string

//go:embed scripts/put.sh
var putScript string

//go:embed scripts/ready.sh
var readyScript string

//go:embed scripts/begin.sh
var beginScript string

//go:embed scripts/install.sh
var installScript string

//go:embed scripts/follow.sh
var followScript string

// Package is one of a snapshot.
type Package struct {
	Name, Version string
	Digest        model.Digest // of its file
	File          string       // the file's name on the host
	Size          int64        // of the file, bytes
	Open          func() (io.ReadCloser, error)
}

// ErrRefused: the host found that the packages cannot be installed as they are, and nothing was changed.
var ErrRefused = errors.New("host refused")

// refused is the scripts' exit status for that.
const refused = 3

// Driver puts packages in place on a host.
type Driver struct {
	Host remote.Host
	// Rate limits what is sent, in bytes a second; 0: no limit.
	Rate int64
	// Root is a directory in the place of /, for tests; its maintainer scripts run with DPKG_ROOT.
	Root string
}

// command is a script of this package for a snapshot. Its arguments begin at $3; what it needs of them, take keeps, since common takes them away.
func (d Driver) command(snapshot model.Digest, take, script string, args ...string) remote.Command {
	return remote.Command{Argv: append([]string{"sh", "-euc", take + "\n" + common + script, "packages", d.Root, snapshot.Hex()}, args...)}
}

// run runs a script and tells a refusal from other ends.
func (d Driver) run(ctx context.Context, what string, cmd remote.Command) ([]byte, error) {
	res, err := d.Host.Run(ctx, cmd)
	var exit *remote.ExitError
	switch {
	case errors.As(err, &exit) && exit.Code == refused:
		return nil, fmt.Errorf("%s: %w: %s", what, ErrRefused, strings.TrimSpace(exit.Stderr))
	case err != nil:
		if exit != nil {
			exit.Command = what // the script's text tells nobody anything
		}
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return res.Stdout, nil
}

// Observe tells how the host stands to packages of a snapshot. It changes nothing.
func (d Driver) Observe(ctx context.Context, snapshot model.Digest, list []Package) (model.ObservedPackages, error) {
	out := model.ObservedPackages{Against: snapshot}
	var names strings.Builder
	for _, p := range list {
		fmt.Fprintf(&names, "%s %s\n", p.Name, p.Version)
	}
	cmd := d.command(snapshot, "", stateScript)
	cmd.Stdin, cmd.Limit = strings.NewReader(names.String()), time.Minute
	text, err := d.run(ctx, "look at packages", cmd)
	if err != nil {
		return out, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "done":
			out.Done = model.Digest("sha256:" + words[1])
		case len(words) == 2 && words[0] == "staged":
			out.Staged = model.Digest("sha256:" + words[1])
		case len(words) == 2 && words[0] == "unit":
			out.Services = append(out.Services, words[1])
		case len(words) == 4 && words[0] == "have":
			add(&out.Installed, model.ObservedPackage{Name: words[1], Version: words[2], Is: words[3]})
		default:
			return out, fmt.Errorf("look at packages: the host printed %q", line)
		}
	}
	return out, nil
}

// add keeps one line of each package: of one that is installed for two architectures, the version that is not the snapshot's.
func add(list *[]model.ObservedPackage, p model.ObservedPackage) {
	for i, q := range *list {
		if q.Name == p.Name {
			if q.Is == "same" {
				(*list)[i] = p
			}
			return
		}
	}
	*list = append(*list, p)
}

// Stage brings the files that the host does not have and tries the installation out. What it does not need, since just this version is installed, is not brought.
func (d Driver) Stage(ctx context.Context, snapshot model.Digest, list []Package, report func(text string, done, total int64)) error {
	seen, err := d.Observe(ctx, snapshot, list)
	if err != nil {
		return err
	}
	same := map[string]bool{}
	for _, p := range seen.Installed {
		same[p.Name] = p.Is == "same"
	}
	text, err := d.run(ctx, "look at package files", d.command(snapshot, "", haveScript))
	if err != nil {
		return err
	}
	var missing []Package
	var total int64
	for _, p := range list {
		if !same[p.Name] && !strings.Contains(string(text), p.Digest.Hex()+"  "+p.File+"\n") {
			missing, total = append(missing, p), total+p.Size
		}
	}
	var done int64
	for _, p := range missing {
		report(p.File, done, total)
		if err := d.put(ctx, snapshot, p, func(n int64) { report(p.File, done+n, total) }); err != nil {
			return err
		}
		done += p.Size
	}
	report("try the installation out", done, total)
	var lines strings.Builder
	for _, p := range list {
		if !same[p.Name] {
			fmt.Fprintf(&lines, "%s %s %s %s\n", p.Name, p.Version, p.Digest.Hex(), p.File)
		}
	}
	cmd := d.command(snapshot, "", readyScript)
	cmd.Stdin = strings.NewReader(lines.String())
	_, err = d.run(ctx, "try the installation of packages out", cmd)
	return err
}

// put sends a file.
func (d Driver) put(ctx context.Context, snapshot model.Digest, p Package, sent func(int64)) error {
	f, err := p.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := d.command(snapshot, "file=$3 sha=$4", putScript, p.File, p.Digest.Hex())
	cmd.Stdin = &paced{ctx: ctx, from: f, rate: d.Rate, sent: sent}
	_, err = d.run(ctx, "write "+p.File, cmd)
	return err
}

// Busy reports whether an installation goes on. That the host's systemd does not say is an error.
func (d Driver) Busy(ctx context.Context) (bool, error) {
	cmd := d.command("", "", "goes")
	cmd.Limit = time.Minute
	text, err := d.run(ctx, "look whether packages are being installed", cmd)
	if err != nil {
		return false, err
	}
	switch is := strings.TrimSpace(string(text)); is {
	case "yes", "no":
		return is == "yes", nil
	}
	return false, errors.New("look whether packages are being installed: systemd there does not say (systemctl is-active nubo-packages)")
}

// Restart is what becomes of a service once the packages are installed.
type Restart struct {
	Unit   string
	Reload bool // it runs itself anew, and is not restarted
}

// Begin has the host install what was staged, in the background, and restart services afterwards. One that goes on already is left alone.
func (d Driver) Begin(ctx context.Context, snapshot model.Digest, services []Restart) error {
	var lines strings.Builder
	for _, s := range services {
		fmt.Fprintf(&lines, "%s %s\n", map[bool]string{true: "reload", false: "restart"}[s.Reload], s.Unit)
	}
	cmd := d.command(snapshot, "job=$3", beginScript, common+installScript)
	cmd.Stdin = strings.NewReader(lines.String())
	_, err := d.run(ctx, "begin to install packages", cmd)
	return err
}

// ErrInstall: the installation was begun and has not come to its end.
var ErrInstall = errors.New("the packages are not installed to the end")

// Follow waits until the installation that was begun last ends.
func (d Driver) Follow(ctx context.Context, snapshot model.Digest, report func(text string)) error {
	lines, out := io.Pipe()
	ended, last := "", []string(nil)
	read := make(chan struct{})
	go func() {
		defer close(read)
		scan := bufio.NewScanner(lines)
		for scan.Scan() {
			word, text, _ := strings.Cut(scan.Text(), " ")
			switch word {
			case "says":
				report(strings.TrimPrefix(text, "nubo: "))
			case "ended":
				ended = text
			case "last":
				last = append(last, text)
			}
		}
		_, _ = io.Copy(io.Discard, lines) // the command is to end whatever it prints
	}()
	cmd := d.command(snapshot, "", followScript)
	cmd.Stdout = out
	_, err := d.run(ctx, "install packages", cmd)
	out.Close()
	<-read
	switch {
	case err != nil:
		return err
	case ended != "0":
		return fmt.Errorf("%w: it ended with status %s: %s", ErrInstall, ended, string(bytes.TrimSpace([]byte(strings.Join(last, "; ")))))
	}
	if n := len(last); n > 0 {
		report(strings.TrimPrefix(last[n-1], "nubo: "))
	}
	return nil
}
