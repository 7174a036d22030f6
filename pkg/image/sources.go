package image

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Archive is where packages come from: deb822 sources and the apt options to use them with, derived from a machine's own apt
// configuration. It is used while building and never reaches an image.
type Archive struct {
	Sources string   // sources.list(5), deb822
	Options []string // apt.conf lines, for example a proxy
}

// target is one line of apt-get indextargets.
type target struct {
	uri, suite, label, signedBy string
}

// targetFormat asks apt-get indextargets for the fields of target, in order.
const targetFormat = "$(SITE)|$(RELEASE)|$(LABEL)|$(SIGNED_BY)"

// MachineArchive reads how this machine gets Debian packages and gives the same for another release of Debian. It runs apt-get and
// apt-config, which follow every form of configuration; nothing is fetched.
func MachineArchive(ctx context.Context, release string, components []string) (Archive, error) {
	targets, err := output(ctx, "apt-get", "indextargets", "--format", targetFormat, "Created-By: Packages")
	if err != nil {
		return Archive{}, fmt.Errorf("read this machine's apt sources: %w", err)
	}
	options, err := output(ctx, "apt-config", "dump")
	if err != nil {
		return Archive{}, fmt.Errorf("read this machine's apt configuration: %w", err)
	}
	codename := osRelease("VERSION_CODENAME")
	sources, err := deriveSources(targets, codename, release, components)
	return Archive{Sources: sources, Options: deriveOptions(options)}, err
}

// deriveSources turns the machine's targets (targetFormat, a line each) into sources for another release.
func deriveSources(targets, codename, release string, components []string) (string, error) {
	var main, security *target
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 4 {
			continue
		}
		t := target{f[0], f[1], f[2], f[3]}
		unknown := t.label == "" || strings.HasPrefix(t.label, "$") // lists were never fetched: only the suite tells
		switch {
		case main == nil && (t.label == "Debian" || unknown && t.suite == codename):
			main = &t
		case security == nil && (t.label == "Debian-Security" || unknown && t.suite == codename+"-security"):
			security = &t
		}
	}
	if main == nil {
		return "", fmt.Errorf("apt on this machine has no source for Debian (%s): add one to /etc/apt/sources.list.d and run apt-get update", codename)
	}
	stanzas := stanza(*main, []string{release, release + "-updates"}, components)
	if security != nil {
		stanzas += "\n" + stanza(*security, []string{release + "-security"}, components)
	}
	return stanzas, nil
}

func stanza(t target, suites, components []string) string {
	key := t.signedBy
	if !strings.HasPrefix(key, "/") {
		key = "/usr/share/keyrings/debian-archive-keyring.gpg"
	}
	return fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n",
		t.uri, strings.Join(suites, " "), strings.Join(components, " "), key)
}

// optionPrefixes are the settings that say how this machine reaches its archive; the rest of its configuration is its own business.
var optionPrefixes = []string{
	"Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv", "Acquire::Queue-Mode",
}

// deriveOptions keeps of apt-config dump what a build needs.
func deriveOptions(dump string) []string {
	var out []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		wanted := slices.ContainsFunc(optionPrefixes, func(p string) bool { return strings.HasPrefix(line, p) })
		if wanted && !strings.HasSuffix(line, ` "";`) {
			out = append(out, line)
		}
	}
	return out
}

// osRelease gives one value of os-release(5), or nothing.
func osRelease(key string) string {
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), key+"="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// output runs a program and gives what it printed; an error carries its last words.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = buildEnv()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(said.String(), 5))
	}
	return string(out), nil
}
