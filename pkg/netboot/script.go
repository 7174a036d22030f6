package netboot

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/template"
)

// scriptAttempts bounds the loop of an install script: after it the machine goes on to its next boot device.
const scriptAttempts = 5

// The label is jumped to from every failing step, so that the console says what failed before the next attempt.
// The kernel command line names the initrd because the EFI stub looks it up by name; BIOS ignores it.
var installScript = template.Must(template.New("install").Parse(`#!ipxe
echo nubo: relay {{.Relay}}: {{.Title}}
set attempt:int32 0
:fetch
inc attempt
echo nubo: attempt ${attempt} of {{.Attempts}}
imgfree
echo nubo: kernel {{.Kernel}}
kernel --name vmlinuz {{.Kernel}} initrd=initrd {{.Cmdline}} || goto again
echo nubo: initrd {{.Initrd}}
initrd --name initrd {{.Initrd}} || goto again
echo nubo: starting the kernel
boot || goto again
:again
echo nubo: attempt ${attempt} failed, see the line above
iseq ${attempt} {{.Attempts}} && goto giveup ||
sleep 5
goto fetch
:giveup
echo nubo: giving up after {{.Attempts}} attempts, going on to the next boot device
sleep 10
exit 1
`))

const diskScript = `#!ipxe
echo nubo: no approved order expects this machine to boot from the network
echo nubo: going on to its disk
exit 0
`

// Validate reports why an iPXE script cannot be made from b: a part that is missing, or that iPXE would take for syntax.
func (b Boot) Validate() error {
	var errs []error
	for _, f := range []struct {
		name, value string
		spaces      bool
	}{{"title", b.Title, true}, {"kernel", b.Kernel, false}, {"initrd", b.Initrd, false}, {"command line", b.Cmdline, true}} {
		if err := scriptSafe(f.value, f.spaces); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", f.name, f.value, err))
		}
	}
	for _, u := range []string{b.Kernel, b.Initrd} {
		if p, err := url.Parse(u); err != nil || (p.Scheme != "http" && !(p.Scheme == "" && p.Host == "" && strings.HasPrefix(p.Path, "/"))) {
			errs = append(errs, fmt.Errorf("%q is neither an http URL nor a path that begins with a slash", u))
		}
	}
	return errors.Join(errs...)
}

// scriptSafe refuses what iPXE's command parser would interpret: settings, separators, comments, line ends.
func scriptSafe(s string, spaces bool) error {
	for _, r := range s {
		if r < ' ' || r > '~' || (r == ' ' && !spaces) {
			return fmt.Errorf("character %q cannot be passed through iPXE", r)
		}
	}
	if strings.Contains(s, "${") || strings.Contains(s, `\`) {
		return errors.New(`"${" and "\" are iPXE syntax`)
	}
	for _, word := range strings.Fields(s) {
		if word == "||" || word == "&&" || strings.HasPrefix(word, "#") {
			return fmt.Errorf("the word %q is iPXE syntax", word)
		}
	}
	return nil
}

// renderScript makes the iPXE script for b; nil is the script that goes on to the disk. base is the relay's own URL.
func renderScript(base string, b *Boot) (string, error) {
	if b == nil {
		return diskScript, nil
	}
	if err := b.Validate(); err != nil {
		return "", fmt.Errorf("iPXE script for %q: %w", b.Title, err)
	}
	var out strings.Builder
	err := installScript.Execute(&out, map[string]any{
		"Relay": base, "Title": b.Title, "Attempts": scriptAttempts,
		"Kernel": absolute(base, b.Kernel), "Initrd": absolute(base, b.Initrd), "Cmdline": b.Cmdline,
	})
	return out.String(), err
}

func absolute(base, ref string) string {
	if strings.HasPrefix(ref, "/") {
		return base + ref
	}
	return ref
}
