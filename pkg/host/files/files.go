// Package files compares the files that a host was given with those that it has, and puts back what differs. What a host was given is in its configuration, which was
// laid down when its slot was written; somebody with a shell may have changed it since.
package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// File is one file as it was laid down.
type File struct {
	Path    string
	Mode    fs.FileMode // permission bits
	Content []byte
}

// Drift is a file that is not as it was laid down.
type Drift struct {
	Path string
	What string // "missing", "content", "mode 0600"
}

// String is the drift for people.
func (d Drift) String() string { return d.Path + " (" + d.What + ")" }

// observeScript reads paths from stdin, one a line, each once. It prints mode and path of those that are files and no links, an empty line, and digest and path of
// the same, in two commands for all of them.
const observeScript = `files=
while IFS= read -r f; do
  if [ -f "$f" ] && [ ! -L "$f" ]; then files="$files$f
"; fi
done
printf %s "$files" | xargs -r -d '\n' stat -c '%04a  %n' --
echo
printf %s "$files" | xargs -r -d '\n' sha256sum --`

// Observe gives what differs, sorted by path. It changes nothing.
func Observe(ctx context.Context, h remote.Host, want []File) ([]Drift, error) {
	if len(want) == 0 {
		return nil, nil
	}
	var paths strings.Builder
	for _, f := range want {
		paths.WriteString(f.Path + "\n")
	}
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", observeScript}, Stdin: strings.NewReader(paths.String()), Limit: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("compare files: %w", err)
	}
	modes, sums, ok := strings.Cut("\n"+string(res.Stdout), "\n\n")
	if !ok {
		return nil, errors.New("compare files: what the host printed ends too early")
	}
	mode, sum := columns(modes), columns(sums)
	var out []Drift
	for _, f := range want {
		if what := f.compare(mode[f.Path], sum[f.Path]); what != "" {
			out = append(out, Drift{f.Path, what})
		}
	}
	slices.SortFunc(out, func(a, b Drift) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// columns reads lines of a word, two blanks and a path.
func columns(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if word, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  "); ok {
			out[name] = word
		}
	}
	return out
}

// compare says what differs; empty: nothing.
func (f File) compare(mode, sum string) string {
	want := sha256.Sum256(f.Content)
	switch {
	case mode == "":
		return "missing"
	case sum != hex.EncodeToString(want[:]):
		return "content"
	case mode != fmt.Sprintf("%04o", f.Mode.Perm()):
		return "mode " + mode
	}
	return ""
}

// reload is what makes a service read its files again. Check, where set, must succeed first, with all files in place.
type reload struct {
	prefix       string
	check, apply string
}

// reloads are in the order in which they are done. The files of the network are put back and not acted upon: bridges are the matter of another op, and
// addresses of a host that can be reached are in force.
var reloads = []reload{
	{"/etc/systemd/system/", "", "systemctl daemon-reload"},
	{"/etc/sysctl.d/", "", "sysctl --quiet --system"},
	{"/etc/modules-load.d/", "", "systemctl restart systemd-modules-load.service"},
	{"/etc/systemd/journald.conf.d/", "", "systemctl restart systemd-journald.service"},
	{"/etc/chrony/", "chronyd -p -f /etc/chrony/chrony.conf >/dev/null", "systemctl restart chrony.service"},
	{"/etc/ssh/", "sshd -t", "systemctl reload ssh.service"},
	{"/etc/nftables.conf", "nft --check --file /etc/nftables.conf", "systemctl reload-or-restart nftables.service"},
}

// Repair puts back what differs and lets the services concerned read it. It gives what it put back.
func Repair(ctx context.Context, h remote.Host, want []File) ([]Drift, error) {
	drift, err := Observe(ctx, h, want)
	if err != nil || len(drift) == 0 {
		return nil, err
	}
	differs := map[string]bool{}
	for _, d := range drift {
		differs[d.Path] = true
	}
	for _, f := range want {
		if !differs[f.Path] {
			continue
		}
		if _, err := h.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", path.Dir(f.Path)}}); err != nil {
			return nil, fmt.Errorf("put back %s: %w", f.Path, err)
		}
		if err := h.Write(ctx, remote.File{Path: f.Path, Mode: f.Mode.Perm(), Content: bytes.NewReader(f.Content)}); err != nil {
			return nil, fmt.Errorf("put back %s: %w", f.Path, err)
		}
	}
	for _, r := range reloads {
		if !slices.ContainsFunc(drift, func(d Drift) bool { return strings.HasPrefix(d.Path, r.prefix) }) {
			continue
		}
		script := r.apply
		if r.check != "" {
			script = r.check + " && " + r.apply
		}
		if _, err := h.Run(ctx, remote.Command{Script: script, Limit: time.Minute}); err != nil {
			return nil, fmt.Errorf("the files below %s are as they were laid down again, and their service did not take them: %w", r.prefix, err)
		}
	}
	left, err := Observe(ctx, h, want)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("put back, and different again: %v; who writes them?", left)
	}
	return drift, err
}
