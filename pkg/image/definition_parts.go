package image

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

func (f overlaySchema) read(fsys fs.FS) (OverlayFile, error) {
	out := OverlayFile{Path: f.Path, Mode: 0o644}
	content, err := fs.ReadFile(fsys, f.Source)
	if err != nil {
		return out, fmt.Errorf("file %s: %w", f.Path, err)
	}
	out.Content = string(content)
	if f.Mode != "" {
		if out.Mode, err = strconv.ParseInt(f.Mode, 8, 16); err != nil {
			return out, fmt.Errorf("file %s: mode %q is not octal: %w", f.Path, f.Mode, err)
		}
	}
	return out, nil
}

// moduleLists reads modules/NAME.list: one name a line, # begins a comment.
func moduleLists(fsys fs.FS, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		content, err := fs.ReadFile(fsys, path.Join("modules", name+".list"))
		if err != nil {
			return nil, fmt.Errorf("modules %q: %w", name, err)
		}
		for line := range strings.Lines(string(content)) {
			line, _, _ = strings.Cut(line, "#")
			out = append(out, strings.Fields(line)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// generatedFiles are the files of a root image that follow from other parts of its definition.
func generatedFiles(d Definition) []OverlayFile {
	var enable strings.Builder
	enable.WriteString("# What this image enables; the installer enables more from the host's profile. See systemd.preset(5).\n")
	for _, unit := range d.Enable {
		enable.WriteString("enable " + unit + "\n")
	}
	hook := "#!/bin/sh\n# The modules of the initramfs; those that this kernel has built in, or has not, are passed over.\n" +
		"[ \"$1\" != prereqs ] || exit 0\n. /usr/share/initramfs-tools/hook-functions\nmanual_add_modules " + strings.Join(d.Modules, " ") + "\n"
	// systemd-update-done.service(8): caches are as new as /usr, so the first boot need not make them again
	updated := fmt.Sprintf("# Written with the image.\nTIMESTAMP_NSEC=%d000000000\n", d.Epoch)
	paths := "# Upgrades on the host leave out what the image leaves out.\n"
	for _, glob := range d.Exclude {
		paths += "path-exclude=" + glob + "\n"
	}
	for _, glob := range d.Include {
		paths += "path-include=" + glob + "\n"
	}
	return []OverlayFile{
		{Path: "/etc/dpkg/dpkg.cfg.d/nubo", Mode: 0o644, Content: paths},
		{Path: "/etc/.updated", Mode: 0o644, Content: updated},
		{Path: "/var/.updated", Mode: 0o644, Content: updated},
		{Path: "/etc/initramfs-tools/hooks/nubo", Mode: 0o755, Content: hook},
		{Path: "/usr/lib/systemd/system-preset/00-nubo.preset", Mode: 0o644, Content: enable.String()},
		{Path: "/usr/lib/systemd/system-preset/10-nubo.preset", Mode: 0o644, Content: "# What no earlier file enables stays off.\ndisable *\n"},
	}
}

func (d Definition) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("image %s: "+format, append([]any{d.Name}, args...)...))
		}
	}
	kinds := []manifest.Kind{manifest.Root, manifest.Ramdisk, manifest.Guest}
	check(slices.Contains(kinds, d.Kind), "kind %q is none of %q", d.Kind, kinds)
	check(manifest.ValidName(d.Release), "release %q is not a code name", d.Release)
	check(len(d.Packages) > 0, "no packages")
	check(len(d.Modules) > 0, "no modules: its initramfs could not find a disk")
	for _, p := range d.Packages {
		check(manifest.ValidName(p), "package %q is not a name", p)
	}
	for _, f := range d.Files {
		check(path.IsAbs(f.Path) && path.Clean(f.Path) == f.Path, "file %q: not a clean absolute path", f.Path)
	}
	for _, glob := range slices.Concat(d.Remove, d.Keep, d.Exclude, d.Include, d.Compile) {
		_, err := path.Match(glob, "/")
		check(err == nil && path.IsAbs(glob) && path.Clean(glob) == glob && glob != "/", "path %q: not a clean absolute glob", glob)
	}
	for name, tail := range d.Users {
		_, err := parsePasswd(name + ":x:" + tail)
		check(err == nil, "user %s: %v", name, err)
	}
	return errors.Join(errs...)
}
