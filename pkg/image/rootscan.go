package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

// rootFacts are what the tar of a root file system says about itself.
type rootFacts struct {
	kernel   string // version
	packages []manifest.Package
}

// scanned are the files that scanRoot reads in whole; each must be there.
var scanned = []string{"etc/passwd", "etc/group", "etc/shadow", "var/lib/dpkg/status"}

// scanLimit bounds each of them.
const scanLimit = 32 << 20

// scanRoot reads the tar of a root file system as it passes and refuses one that could not be a host: no kernel or initramfs at the
// stable paths, accounts with numbers by chance, a file newer than the definition's epoch.
func scanRoot(d Definition, from io.Reader) (rootFacts, error) {
	texts, links := map[string]string{}, map[string]string{}
	var errs []error
	last := ""
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return rootFacts{}, fmt.Errorf("image %s: tar after %q: %w", d.Name, last, err)
		}
		last = h.Name
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag == tar.TypeSymlink {
			links[name] = h.Linkname
		}
		if h.ModTime.Unix() > d.Epoch {
			errs = append(errs, fmt.Errorf("%s is newer than the definition's epoch", name))
		}
		if slices.Contains(scanned, name) {
			content, err := io.ReadAll(io.LimitReader(r, scanLimit))
			if err != nil {
				return rootFacts{}, fmt.Errorf("image %s: %s: %w", d.Name, name, err)
			}
			texts[name] = string(content)
		}
	}
	for _, name := range scanned {
		if texts[name] == "" {
			errs = append(errs, fmt.Errorf("%s is missing or empty", name))
		}
	}
	kernel, ok := strings.CutPrefix(path.Base(links["vmlinuz"]), "vmlinuz-")
	if !ok || path.Base(links["initrd.img"]) != "initrd.img-"+kernel {
		errs = append(errs, fmt.Errorf("/vmlinuz leads to %q and /initrd.img to %q: not one kernel's", links["vmlinuz"], links["initrd.img"]))
	}
	errs = append(errs, checkAccounts(d, texts["etc/passwd"], texts["etc/group"], texts["etc/shadow"]))
	if err := errors.Join(errs...); err != nil {
		return rootFacts{}, fmt.Errorf("image %s: the root file system is not fit for a host: %w", d.Name, err)
	}
	return rootFacts{kernel: kernel, packages: parseStatus(texts["var/lib/dpkg/status"])}, nil
}

// parseStatus reads dpkg's status file (deb822) and gives the installed packages, sorted.
func parseStatus(status string) []manifest.Package {
	var out []manifest.Package
	for stanza := range strings.SplitSeq(status, "\n\n") {
		var p manifest.Package
		installed := false
		for line := range strings.Lines(stanza) {
			key, value, _ := strings.Cut(line, ": ")
			value = strings.TrimSpace(value)
			switch key {
			case "Package":
				p.Name = value
			case "Version":
				p.Version = value
			case "Architecture":
				p.Architecture = value
			case "Status":
				installed = strings.HasSuffix(value, " installed")
			}
		}
		if installed && p.Name != "" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, manifest.ComparePackages)
	return out
}
