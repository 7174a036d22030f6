// Package hostfiles makes an unpacked image this host's: it applies the accepted sections of an Ignition config (spec 3.3.0: files,
// directories, links, systemd units, users and groups) to a root directory. It can be applied again with the same result. Every other
// section is refused, never dropped.
package hostfiles

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3"
	"github.com/coreos/ignition/v2/config/v3_3/types"
)

// ErrUnsupported says that a config asks for what this installer does not do.
var ErrUnsupported = errors.New("the configuration asks for what the installer does not do")

// Parse reads an Ignition config and checks that all of it can be applied. The error lists everything that cannot, and wraps
// ErrUnsupported when that is the only fault.
func Parse(raw []byte) (types.Config, error) {
	config, report, err := v3_3.Parse(raw)
	if err != nil {
		said := strings.TrimSpace(report.String())
		return config, fmt.Errorf("Ignition config: %w\n%s", err, said) //nolint:staticcheck // Ignition is a name
	}
	var wrong []error
	for _, e := range report.Entries {
		if strings.HasPrefix(e.Message, "unused key") {
			wrong = append(wrong, fmt.Errorf("%w: %s", ErrUnsupported, e.String()))
		}
	}
	return config, errors.Join(append(wrong, unsupported(config)...)...)
}

// unsupported lists the sections and fields that are set and not applied.
func unsupported(c types.Config) []error {
	var errs []error
	refuse := func(set bool, format string, args ...any) {
		if set {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrUnsupported}, args...)...))
		}
	}
	refuse(len(c.Ignition.Config.Merge) > 0 || c.Ignition.Config.Replace.Source != nil, "ignition.config: other configs are not fetched; write one")
	refuse(len(c.Ignition.Security.TLS.CertificateAuthorities) > 0, "ignition.security: nothing is fetched over TLS")
	refuse(c.Ignition.Proxy.HTTPProxy != nil || c.Ignition.Proxy.HTTPSProxy != nil || len(c.Ignition.Proxy.NoProxy) > 0, "ignition.proxy: nothing is fetched")
	refuse(c.Ignition.Timeouts.HTTPResponseHeaders != nil || c.Ignition.Timeouts.HTTPTotal != nil, "ignition.timeouts: nothing is fetched")
	refuse(len(c.KernelArguments.ShouldExist)+len(c.KernelArguments.ShouldNotExist) > 0, "kernelArguments: set kernel_args in the profile")
	refuse(len(c.Storage.Disks) > 0, "storage.disks: the installer lays the root disk out itself")
	refuse(len(c.Storage.Filesystems) > 0, "storage.filesystems: the installer makes its own")
	refuse(len(c.Storage.Raid) > 0, "storage.raid")
	refuse(len(c.Storage.Luks) > 0, "storage.luks")
	for _, f := range c.Storage.Files {
		for _, r := range append([]types.Resource{f.Contents}, f.Append...) {
			if err := embedded(r); err != nil {
				errs = append(errs, fmt.Errorf("storage.files %s: %w", f.Path, err))
			}
		}
	}
	for _, u := range c.Passwd.Users {
		refuse(u.PasswordHash != nil && *u.PasswordHash != "", "passwd.users %s: password_hash (a hash is a secret, and orders carry none): use SSH keys", u.Name)
		refuse(u.ShouldExist != nil && !*u.ShouldExist, "passwd.users %s: removing users", u.Name)
	}
	for _, g := range c.Passwd.Groups {
		refuse(g.PasswordHash != nil && *g.PasswordHash != "", "passwd.groups %s: password_hash", g.Name)
		refuse(g.ShouldExist != nil && !*g.ShouldExist, "passwd.groups %s: removing groups", g.Name)
	}
	return errs
}

// embedded refuses contents that would have to be fetched.
func embedded(r types.Resource) error {
	if r.Source != nil && *r.Source != "" && !strings.HasPrefix(*r.Source, "data:") {
		return fmt.Errorf("%w: contents must be in the config (a data: URL), got %.40q", ErrUnsupported, *r.Source)
	}
	return nil
}
