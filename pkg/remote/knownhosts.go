package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sort"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// KnownHosts is what is known of hosts before they are connected to: a host's name → its public keys as lines of authorized_keys.
// It is plain data: it comes from the state (host keys reported under an install order's nonce) or from the inventory (jump hosts).
type KnownHosts map[string][]string

// Keys gives the keys of a host; ErrHostKey when none is known or one cannot be read.
func (k KnownHosts) Keys(host string) ([]ssh.PublicKey, error) {
	lines := k[host]
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s: %w: no key is known for this host", host, ErrHostKey)
	}
	keys := make([]ssh.PublicKey, 0, len(lines))
	for i, line := range lines {
		key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err == nil && len(bytes.TrimSpace(rest)) > 0 {
			err = errors.New("more than one line")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w: known key %d is not a public key: %w", host, ErrHostKey, i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// OpenSSH gives the lines of a known_hosts file, for the ssh command: name and address (host:port) both lead to the keys.
func (k KnownHosts) OpenSSH(addresses map[string]string) (string, error) {
	hosts := make([]string, 0, len(k))
	for host := range k {
		hosts = append(hosts, host)
	}
	sort.Strings(hosts)
	var b strings.Builder
	for _, host := range hosts {
		keys, err := k.Keys(host)
		if err != nil {
			return "", err
		}
		names := []string{host}
		if address := addresses[host]; address != "" {
			names = append(names, knownhosts.Normalize(address))
		}
		for _, key := range keys {
			fmt.Fprintln(&b, knownhosts.Line(names, key))
		}
	}
	return b.String(), nil
}

// hostKeyAlgorithms gives the signature algorithms under which the host can prove one of the known keys: it must not be asked for others.
func hostKeyAlgorithms(keys []ssh.PublicKey) []string {
	var out []string
	seen := map[string]bool{}
	for _, key := range keys {
		algorithms := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, a := range algorithms {
			if !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}

// checkHostKey accepts exactly the known keys.
func checkHostKey(keys []ssh.PublicKey, refused *error) ssh.HostKeyCallback {
	return func(_ string, _ net.Addr, shown ssh.PublicKey) error {
		for _, key := range keys {
			if bytes.Equal(key.Marshal(), shown.Marshal()) {
				return nil
			}
		}
		*refused = fmt.Errorf("%w: it showed %s, known is %s", ErrHostKey, ssh.FingerprintSHA256(shown), fingerprints(keys))
		return *refused
	}
}

func fingerprints(keys []ssh.PublicKey) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = ssh.FingerprintSHA256(key)
	}
	return strings.Join(all, ", ")
}
