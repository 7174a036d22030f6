//go:build e2e && e2elong

package peer

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

//go:embed installer.sh
var installer string

// tools are the packages that debootstrap needs beside what the ramdisk has; busybox's versions of some are slow.
var tools = []string{"perl-base", "dpkg", "sed", "grep", "gzip"}

// debootstrapFiles are of Debian's debootstrap, a shell script, as it is installed here.
var debootstrapFiles = []string{"/usr/sbin/debootstrap", "/usr/share/debootstrap"}

// segment is a cpio archive that turns nubo's ramdisk into the peer's.
func segment(ctx context.Context, work string, c Config) ([]byte, error) {
	root := filepath.Join(work, "segment")
	for _, p := range c.Image.Packages {
		if !slices.Contains(tools, p.Name) {
			continue
		}
		if err := run(ctx, "dpkg-deb", "--extract", filepath.Join(c.Cache, debName(p)), root); err != nil {
			return nil, err
		}
	}
	if err := run(ctx, "rm", "-rf", root+"/usr/share", root+"/etc"); err != nil {
		return nil, err
	}
	for _, f := range debootstrapFiles {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(f)), 0o755); err != nil {
			return nil, err
		}
		if err := run(ctx, "cp", "-a", f, filepath.Join(root, filepath.Dir(f))); err != nil {
			return nil, err
		}
	}
	for _, f := range files(c) {
		at := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(at, []byte(f.Content), os.FileMode(f.Mode)); err != nil {
			return nil, err
		}
	}
	pack := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", "find . -print0 | sort -z | cpio --null --quiet -o -H newc -R 0:0 | zstd -q -6")
	pack.Dir, pack.Stderr = root, os.Stderr
	out, err := pack.Output()
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", root, err)
	}
	return out, nil
}

// files are the script and what it reads.
func files(c Config) []image.OverlayFile {
	settings := fmt.Sprintf("mirror=%s\nrelease=%s\ndisk=%s\n", c.mirrorURL(), c.Definition.Release, c.Disk)
	network := fmt.Sprintf("[Match]\nMACAddress=%s\n[Network]\nAddress=%s/24\n", c.MAC, c.Address)
	grub := "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200\"\n"
	out := []image.OverlayFile{
		{Path: image.AgentPath, Mode: 0o755, Content: installer},
		{Path: "etc/peer/settings", Mode: 0o644, Content: settings},
		{Path: "etc/peer/packages", Mode: 0o644, Content: strings.Join(c.Definition.Packages, " ") + "\n"},
		{Path: "etc/peer/dpkg.cfg", Mode: 0o644, Content: dpkgSettings(c.Definition)},
		{Path: "etc/peer/host/etc/hostname", Mode: 0o644, Content: "peer\n"},
		{Path: "etc/peer/host/etc/systemd/network/10-peer.network", Mode: 0o644, Content: network},
		{Path: "etc/peer/host/etc/default/grub", Mode: 0o644, Content: grub},
		{Path: "etc/peer/host/root/.ssh/authorized_keys", Mode: 0o600, Content: c.PublicKey},
	}
	for _, f := range c.Definition.Files {
		out = append(out, image.OverlayFile{Path: "etc/peer/overlay" + f.Path, Mode: f.Mode, Content: f.Content})
	}
	return out
}

// dpkgSettings are those that our image is built with.
func dpkgSettings(d image.Definition) string {
	out := "force-unsafe-io\nforce-confold\n"
	for _, glob := range d.Exclude {
		out += "path-exclude=" + glob + "\n"
	}
	for _, glob := range d.Include {
		out += "path-include=" + glob + "\n"
	}
	return out
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// Config is what the peer installs, and where.
type Config struct {
	Definition image.Definition   // of the image that is compared with
	Image      *manifest.Manifest // as it was built: every package and version
	Cache      string             // where the build has left the packages
	Kernel     string             // the ramdisk's
	Initrd     string
	Station    string // address of the server on the blade's network
	Address    string // of the blade
	MAC        string
	Disk       string // path of the disk in the ramdisk; partitions have the suffix -partN
	PublicKey  string // SSH key that may log in as root
}

func (c Config) mirrorURL() string { return "http://" + c.Station + ":8080/debian" }
