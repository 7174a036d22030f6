package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

// bootstrap is one run of mmdebstrap.
type bootstrap struct {
	def    Definition
	lists  lists
	debs   string // packages kept between builds
	work   string // scratch; the hooks are in it
	target string // directory, or - for a tar on standard output
}

// args are mmdebstrap's arguments. The lists are those that were resolved, so that what is installed is what was resolved.
func (b bootstrap) args() []string {
	variant, format := "minbase", "tar"
	if b.def.Kind != manifest.Root {
		variant, format = "extract", "directory"
	}
	args := []string{
		"--variant=" + variant, "--format=" + format, "--architectures=" + b.def.Architecture, "--skip=update,essential/unlink",
		`--aptopt=Apt::Install-Recommends "false"`, `--aptopt=Acquire::Languages "none"`, `--aptopt=APT::Sandbox::User "root"`,
		"--dpkgopt=force-confold", "--dpkgopt=force-unsafe-io",
	}
	for _, o := range b.lists.archive.Options {
		args = append(args, "--aptopt="+strings.TrimSuffix(o, ";"))
	}
	for _, glob := range b.def.Exclude {
		args = append(args, "--dpkgopt=path-exclude="+glob)
	}
	for _, glob := range b.def.Include {
		args = append(args, "--dpkgopt=path-include="+glob)
	}
	hooks := []string{"setup", "extract"} // extract is the last that runs when nothing is configured
	if b.def.Kind == manifest.Root {
		hooks = []string{"setup", "essential", "customize"}
	}
	for _, hook := range hooks {
		args = append(args, fmt.Sprintf(`--%s-hook=sh '%s' "$1"`, hook, filepath.Join(b.work, hook)))
	}
	return append(args, "--include="+strings.Join(b.def.Packages, ","), b.def.Release, b.target, filepath.Join(b.work, "archive.sources"))
}

// hooks are the scripts that mmdebstrap calls with the root's directory as $1.
func (b bootstrap) hooks() map[string]string {
	passwd, group := accountLines(b.def)
	remove := ""
	for _, glob := range b.def.Remove {
		remove += "\nrm -rf \"$1\"" + glob
	}
	compile := ""
	for _, dir := range b.def.Compile { // by what is in the source and not by its time, which the archive rounds down to the epoch
		compile += "\nchroot \"$1\" python3 -m compileall -q --invalidation-mode checked-hash '" + dir + "'"
	}
	own := fmt.Sprintf("tar -C \"$1\" --numeric-owner --keep-directory-symlink --no-overwrite-dir -xf '%s'", filepath.Join(b.work, "overlay.tar"))
	keep := `for deb in "$1"/var/cache/apt/archives/*.deb; do
	[ ! -e "$deb" ] || cp -n "$deb" '` + b.debs + `/'
done`
	hooks := map[string]string{
		"setup": `mkdir -p "$1/var/cache/apt/archives" "$1/var/lib/apt/lists"
cp -r '` + filepath.Join(b.lists.dir, "lists") + `/.' "$1/var/lib/apt/lists/"
for deb in '` + b.debs + `'/*.deb; do
	[ ! -e "$deb" ] || ln "$deb" "$1/var/cache/apt/archives/" 2>/dev/null || cp "$deb" "$1/var/cache/apt/archives/"
done`,
		"essential": "cat >>\"$1/etc/passwd\" <<'EOF'\n" + passwd + "EOF\ncat >>\"$1/etc/group\" <<'EOF'\n" + group + "EOF\n" + own,
		"extract":   keep,
	}
	if b.def.Kind == manifest.Root {
		hooks["customize"] = keep + "\n" + own + "\nchroot \"$1\" systemctl preset-all" + compile + remove
	}
	for name, script := range hooks {
		hooks[name] = "set -eu\n" + script + "\n"
	}
	return hooks
}

// overlay is the definition's own files as a tar.
func overlay(d Definition) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	stamp := time.Unix(d.Epoch, 0)
	made := map[string]bool{"/": true}
	var parents func(string) error
	parents = func(dir string) error {
		if made[dir] {
			return nil
		}
		if err := parents(path.Dir(dir)); err != nil {
			return err
		}
		made[dir] = true
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "." + dir + "/", Mode: 0o755, ModTime: stamp})
	}
	for _, f := range d.Files {
		if err := parents(path.Dir(f.Path)); err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: "." + f.Path, Mode: f.Mode, Size: int64(len(f.Content)), ModTime: stamp}); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(f.Content)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// prepare writes hooks, overlay and sources into the scratch directory.
func (b bootstrap) prepare() error {
	files := b.hooks()
	own, err := overlay(b.def)
	if err != nil {
		return fmt.Errorf("image %s: its own files: %w", b.def.Name, err)
	}
	files["overlay.tar"], files["archive.sources"] = string(own), b.lists.archive.Sources
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(b.work, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("image %s: %w", b.def.Name, err)
		}
	}
	return os.MkdirAll(b.debs, 0o755)
}

// run runs mmdebstrap; its standard output, the tar of a root image, goes to out.
func (b bootstrap) run(ctx context.Context, out *os.File, progress Progress) error {
	said := newLastLines(func(line string) {
		if text, ok := strings.CutPrefix(line, "I: "); ok && !strings.HasPrefix(text, "running --") {
			progress.say(b.def.Name, "packages", "%s", text)
		}
	})
	cmd := command(ctx, b.work, buildEnv(fmt.Sprintf("SOURCE_DATE_EPOCH=%d", b.def.Epoch), "TMPDIR="+b.work), "mmdebstrap", b.args()...)
	if out != nil {
		cmd.Stdout = out
	}
	cmd.Stderr = said
	err := runTied(cmd)
	last := said.end()
	if err != nil {
		return fmt.Errorf("image %s: mmdebstrap %s: %w; its last words:\n%s", b.def.Name, b.def.Release, err, last)
	}
	return nil
}
