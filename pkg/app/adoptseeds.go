package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// seeds are the hosts to look at, with the keys by which they are known. All mistakes are told at once.
func (e Env) seeds(ctx context.Context, o AdoptOptions) ([]adopt.Seed, error) {
	words, err := seedWords(o)
	if err != nil {
		return nil, err
	}
	db, err := knownHostsOf(o.KnownHosts)
	if err != nil {
		return nil, err
	}
	var out []adopt.Seed
	var errs []error
	taken := map[netip.Addr]string{}
	in := bufio.NewReader(e.In) // one for all questions: what it has read ahead belongs to the next
	for _, w := range words {
		name, bmc, _ := strings.Cut(w, ",")
		address, err := resolve(ctx, name)
		if err == nil && taken[address] != "" {
			err = fmt.Errorf("%s: %s is the same host", name, taken[address])
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		taken[address] = name
		keys := knownKeys(db, name, address)
		if len(keys) == 0 && o.TrustFirst {
			if keys, err = e.trustFirst(ctx, in, name, address); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if len(keys) == 0 {
			errs = append(errs, fmt.Errorf("%s: its host key is not known: put it into a known_hosts file (--known-hosts), or look at it and decide now (--trust-first)", name))
			continue
		}
		out = append(out, adopt.Seed{Address: address, HostKeys: keys, BMC: bmc})
	}
	return out, errors.Join(errs...)
}

// seedWords are the hosts as they were named, on the command line and in a file.
func seedWords(o AdoptOptions) ([]string, error) {
	words := o.Hosts
	if o.HostsFile != "" {
		text, err := os.ReadFile(o.HostsFile)
		if err != nil {
			return nil, fmt.Errorf("--hosts: %w", err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			line, _, _ = strings.Cut(line, "#")
			words = append(words, strings.Fields(line)...)
		}
	}
	if len(words) == 0 {
		return nil, errors.New("name the hosts to look at: HOST or HOST,BMC-ADDRESS on the command line, or in a file (--hosts)")
	}
	return words, nil
}

// resolve gives the IPv4 address of a host.
func resolve(ctx context.Context, name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil && a.Is4() {
		return a, nil
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	if err != nil || len(list) == 0 {
		return netip.Addr{}, fmt.Errorf("%s is no IPv4 address and no name of one: %w", name, err)
	}
	return list[0].Unmap(), nil
}

// knownHostsOf reads known_hosts files; none named: the user's own, where there is one.
func knownHostsOf(files []string) (*knownhosts.HostKeyDB, error) {
	if len(files) == 0 {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil
		}
		file := filepath.Join(home, ".ssh", "known_hosts")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		files = []string{file}
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("--known-hosts: %w", err)
	}
	return db, nil
}

// knownKeys are the keys of a host by its name or its address. Authorities of host certificates are passed over: nuboctl knows each host by its own key.
func knownKeys(db *knownhosts.HostKeyDB, name string, address netip.Addr) []string {
	if db == nil {
		return nil
	}
	for _, as := range []string{name, address.String()} {
		var out []string
		for _, k := range db.HostKeys(net.JoinHostPort(as, "22")) {
			if !k.Cert {
				out = append(out, remote.AuthorizedKey(k.PublicKey))
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// trustFirst shows a host's key to a person, and asks.
func (e Env) trustFirst(ctx context.Context, in *bufio.Reader, name string, address netip.Addr) ([]string, error) {
	if !e.Interactive {
		return nil, fmt.Errorf("%s: its host key is not known, and nobody is there to look at it: put it into a known_hosts file", name)
	}
	key, err := remote.ScanHostKey(ctx, netip.AddrPortFrom(address, 22).String())
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(e.Err, "%s (%s) shows %s key %s\nIs that what its own console shows? Only \"yes\" goes on: ", name, address, key.Type(), ssh.FingerprintSHA256(key))
	answer, _ := in.ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return nil, fmt.Errorf("%s: its key was not accepted", name)
	}
	return []string{remote.AuthorizedKey(key)}, nil
}
