package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// lists is apt's view of one archive and release, in a directory of its own: the machine's apt state is neither read nor changed.
type lists struct {
	dir     string
	archive Archive
	arch    string
}

// openLists prepares the directory; equal archives share it.
func openLists(cache string, d Definition, archive Archive) (lists, error) {
	key := model.DigestJSON([]any{archive, d.Release, d.Architecture}).Short()
	l := lists{dir: filepath.Join(cache, "apt", d.Release+"-"+key), archive: archive, arch: d.Architecture}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "etc/sources.list.d", "etc/preferences.d", "etc/apt.conf.d"} {
		if err := os.MkdirAll(filepath.Join(l.dir, sub), 0o755); err != nil {
			return l, fmt.Errorf("package lists: %w", err)
		}
	}
	for name, content := range map[string]string{
		"status": "", "etc/sources.list.d/archive.sources": archive.Sources, "apt.conf": l.config(),
	} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(content), 0o644); err != nil {
			return l, fmt.Errorf("package lists: %w", err)
		}
	}
	return l, nil
}

func (l lists) config() string {
	lines := []string{
		fmt.Sprintf("Dir::Etc %q;", filepath.Join(l.dir, "etc")), fmt.Sprintf("Dir::State %q;", l.dir),
		fmt.Sprintf("Dir::State::status %q;", filepath.Join(l.dir, "status")), fmt.Sprintf("Dir::Cache %q;", filepath.Join(l.dir, "cache")),
		`Dir::Etc::netrcparts "/etc/apt/auth.conf.d";`, fmt.Sprintf("APT::Architecture %q;", l.arch), fmt.Sprintf("APT::Architectures %q;", l.arch),
		`APT::Install-Recommends "false";`, `Acquire::Languages "none";`, `APT::Sandbox::User "root";`,
	}
	return strings.Join(append(lines, l.archive.Options...), "\n") + "\n"
}

// update fetches the lists when there are none, or always when asked to.
func (l lists) update(ctx context.Context, refresh bool) error {
	have, err := filepath.Glob(filepath.Join(l.dir, "lists", "*Packages*"))
	if err == nil && len(have) > 0 && !refresh {
		return nil
	}
	_, err = output(ctx, "apt-get", "-c", filepath.Join(l.dir, "apt.conf"), "-o", "APT::Update::Error-Mode=any", "update")
	return err
}

var installLine = regexp.MustCompile(`^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) .*\[([a-z0-9]+)\]`)

// resolve asks apt which packages, in which versions, an image of this definition would have. Sorted.
func (l lists) resolve(ctx context.Context, d Definition) ([]manifest.Package, error) {
	args := []string{"-c", filepath.Join(l.dir, "apt.conf"), "--simulate", "install"}
	if d.Kind == manifest.Root {
		args = append(args, "?essential", "?priority(required)", "apt")
	}
	said, err := output(ctx, "apt-get", append(args, d.Packages...)...)
	if err != nil {
		return nil, fmt.Errorf("image %s: resolve packages: %w", d.Name, err)
	}
	packages := parseSimulation(said)
	if len(packages) == 0 {
		return nil, fmt.Errorf("image %s: apt-get would install nothing; it said: %s", d.Name, tail(said, 5))
	}
	return packages, nil
}

// parseSimulation reads the lines "Inst NAME (VERSION SUITE [ARCH])" of apt-get --simulate.
func parseSimulation(said string) []manifest.Package {
	var out []manifest.Package
	for line := range strings.Lines(said) {
		if m := installLine.FindStringSubmatch(line); m != nil {
			name, _, _ := strings.Cut(m[1], ":")
			out = append(out, manifest.Package{Name: name, Version: m[2], Architecture: m[3]})
		}
	}
	slices.SortFunc(out, manifest.ComparePackages)
	return slices.Compact(out)
}
