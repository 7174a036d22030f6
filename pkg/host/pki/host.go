package pki

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Place is where programs on a host look for their certificate, its key and the authority's certificate.
type Place struct {
	CA, Cert, Key string
	// Owner of the key, who alone may read it; empty: root.
	Owner string
	// Links are further names, path → target.
	Links map[string]string
}

// ErrUncertified says that a host has no certificate that serves.
var ErrUncertified = errors.New("no certificate that serves")

// observeScript prints the certificate, the public key of the key file, and the authority's certificate, with a line between them.
const observeScript = `cat -- "$2" 2>/dev/null || :
echo "-- key"
openssl pkey -in "$3" -pubout 2>/dev/null || :
echo "-- authority"
cat -- "$1" 2>/dev/null || :`

// Observe tells whether a host has what it needs: nil, ErrUncertified with the reason, or another error when that cannot be found out.
func (a *Authority) Observe(ctx context.Context, h remote.Host, p Place, who Subject, now time.Time) error {
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", observeScript, "observe", p.CA, p.Cert, p.Key}, Limit: 30 * time.Second})
	if err != nil {
		return fmt.Errorf("look at certificate %s: %w", p.Cert, err)
	}
	parts := splitParts(string(res.Stdout))
	if len(parts) != 3 {
		return fmt.Errorf("look at certificate %s: the host printed %d parts, not 3", p.Cert, len(parts))
	}
	why := a.Check([]byte(parts[0]), who, now)
	switch {
	case why != nil:
	case !isKeyOf(parts[1], parts[0]):
		why = errors.New("the key is not that of the certificate")
	case strings.TrimSpace(parts[2]) != strings.TrimSpace(string(a.Certificate())):
		why = errors.New("another authority is trusted")
	}
	if why != nil {
		return fmt.Errorf("%s: %w: %w", p.Cert, ErrUncertified, why)
	}
	return nil
}

// isKeyOf reports whether a public key is that of a certificate, both in PEM.
func isKeyOf(key, cert string) bool {
	k, _ := pem.Decode([]byte(key))
	c, _ := pem.Decode([]byte(cert))
	if k == nil || c == nil {
		return false
	}
	parsed, err := x509.ParseCertificate(c.Bytes)
	return err == nil && bytes.Equal(parsed.RawSubjectPublicKeyInfo, k.Bytes)
}

// splitParts splits at the lines that begin with two dashes and a blank.
func splitParts(text string) []string {
	var parts []string
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "-- ") {
			parts = append(parts, b.String())
			b.Reset()
			continue
		}
		b.WriteString(line)
	}
	return append(parts, b.String())
}

// requestScript makes a key beside the one in use and prints a request for it.
const requestScript = `umask 022
mkdir -p -- "$(dirname -- "$1")"
umask 077
rm -f -- "$1.new"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.new" -subj "/CN=$2" 2>/dev/null
if [ -n "$3" ]; then chown -- "$3" "$1.new"; fi
chmod 0400 -- "$1.new"
sync -- "$1.new"`

// installScript puts key and certificate in place once they are known to belong together. $4 and what follows are links and their targets.
const installScript = `umask 022
key=$1 cert=$2 ca=$3
shift 3
mkdir -p -- "$(dirname -- "$cert")" "$(dirname -- "$ca")"
cat >"$cert.both"
sed '/^-----END/q' "$cert.both" >"$cert.new"
sed '1,/^-----END/d' "$cert.both" >"$ca.new"
rm -f -- "$cert.both"
[ "$(openssl x509 -in "$cert.new" -noout -pubkey)" = "$(openssl pkey -in "$key.new" -pubout)" ]
sync -- "$cert.new" "$ca.new"
mv -fT -- "$ca.new" "$ca"
mv -fT -- "$key.new" "$key"
mv -fT -- "$cert.new" "$cert"
while [ $# -gt 0 ]; do
  mkdir -p -- "$(dirname -- "$1")"
  ln -sfnT -- "$2" "$1"
  shift 2
done`

// Ensure certifies a host unless it has what it needs. It reports whether anything changed: programs read their certificate at their start.
func (a *Authority) Ensure(ctx context.Context, h remote.Host, p Place, who Subject, now time.Time) (changed bool, err error) {
	if err := a.Observe(ctx, h, p, who, now); err == nil || !errors.Is(err, ErrUncertified) {
		return false, err
	}
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", requestScript, "request", p.Key, who.Name, p.Owner}, Limit: time.Minute})
	if err != nil {
		return false, fmt.Errorf("make the key %s: %w", p.Key, err)
	}
	cert, err := a.Sign(res.Stdout, who, now)
	if err != nil {
		return false, err
	}
	argv := []string{"sh", "-euc", installScript, "install", p.Key, p.Cert, p.CA}
	for _, name := range slices.Sorted(maps.Keys(p.Links)) {
		if !path.IsAbs(name) {
			return false, fmt.Errorf("certificate link %q is not absolute", name)
		}
		argv = append(argv, name, p.Links[name])
	}
	both := strings.NewReader(string(cert) + string(a.Certificate()))
	if _, err := h.Run(ctx, remote.Command{Argv: argv, Stdin: both, Limit: time.Minute}); err != nil {
		return false, fmt.Errorf("lay down the certificate %s: %w", p.Cert, err)
	}
	return true, a.Observe(ctx, h, p, who, now)
}
