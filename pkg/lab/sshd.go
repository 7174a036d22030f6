package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The files of a station with sshd, in its folder: everything that a client needs is there too.
const (
	hostKeyFile    = "host_key"
	clientKeyFile  = "id_ed25519"
	knownHostsFile = "known_hosts"
	sshConfigFile  = "ssh_config"
)

func sshdProcName(station string) string { return "sshd-" + station }

// prepareSSHD writes keys and configuration of a station's sshd. Keys that are there stay.
func prepareSSHD(s Station, d Dirs) error {
	dir := d.station(s.Name)
	host, err := ensureKey(filepath.Join(dir, hostKeyFile), "host key of "+s.Name)
	if err != nil {
		return err
	}
	client, err := ensureKey(filepath.Join(dir, clientKeyFile), "nubo-lab")
	if err != nil {
		return err
	}
	var addresses []string
	for _, network := range sortedKeys(s.Addresses) {
		addresses = append(addresses, netip.MustParsePrefix(s.Addresses[network]).Addr().String())
	}
	locked, err := rootIsLocked("/etc/shadow")
	if err != nil {
		return err
	}
	hostLine := strings.Join(addresses, ",") + " " + string(ssh.MarshalAuthorizedKey(host))
	return errors.Join(
		os.MkdirAll("/run/sshd", 0o755), // sshd's fixed folder for the separation of privileges
		writeFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(client), 0o600),
		writeFile(filepath.Join(dir, knownHostsFile), []byte(hostLine), 0o600),
		writeFile(filepath.Join(dir, "sshd_config"), []byte(sshdConfig(dir, addresses, locked)), 0o600),
		writeFile(filepath.Join(dir, sshConfigFile), []byte(sshConfig(s.Name, dir, addresses)), 0o600),
	)
}

// sshdConfig allows root by key and nothing else. Unix sockets may be forwarded: that is how a relay is steered. PAM is
// used only where root's password is locked, as sshd by itself then refuses root even by key.
func sshdConfig(dir string, addresses []string, locked bool) string {
	var b strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&b, "ListenAddress %s:22\n", a)
	}
	fmt.Fprintf(&b, "HostKey \"%s\"\n", filepath.Join(dir, hostKeyFile))
	fmt.Fprintf(&b, "AuthorizedKeysFile \"%s\"\n", filepath.Join(dir, "authorized_keys"))
	fmt.Fprintf(&b, `PidFile none
StrictModes no
UsePAM %s
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
UseDNS no
MaxStartups 100
Subsystem sftp internal-sftp
`, map[bool]string{true: "yes", false: "no"}[locked])
	return b.String()
}

// sshConfig lets a client in the rack say "ssh -F FILE STATION".
func sshConfig(name, dir string, addresses []string) string {
	return fmt.Sprintf("Host %s %s\n  User root\n  IdentityFile \"%s\"\n  IdentitiesOnly yes\n  UserKnownHostsFile \"%s\"\n  StrictHostKeyChecking yes\nHost %s\n  HostName %s\n",
		name, strings.Join(addresses, " "), filepath.Join(dir, clientKeyFile), filepath.Join(dir, knownHostsFile), name, addresses[0])
}

// rootIsLocked tells whether root's password is locked in a shadow file (shadow(5)).
func rootIsLocked(shadow string) (bool, error) {
	data, err := os.ReadFile(shadow)
	if err != nil {
		return false, fmt.Errorf("see whether root's password is locked: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if hash, ok := strings.CutPrefix(line, "root:"); ok {
			return strings.HasPrefix(hash, "!"), nil
		}
	}
	return false, nil
}

// ensureKey makes an Ed25519 key pair in OpenSSH's format, unless it is there, and gives its public half.
func ensureKey(file, comment string) (ssh.PublicKey, error) {
	fail := func(err error) (ssh.PublicKey, error) { return nil, fmt.Errorf("SSH key %s: %w", file, err) }
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = newKey(comment)
		if err == nil {
			err = writeFile(file, data, 0o600)
		}
	}
	if err != nil {
		return fail(err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return fail(err)
	}
	public := signer.PublicKey()
	if err := writeFile(file+".pub", ssh.MarshalAuthorizedKey(public), 0o644); err != nil {
		return fail(err)
	}
	return public, nil
}

func newKey(comment string) ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// sshdCommand runs sshd in the station's namespace, in the foreground. sshd wants its full path.
func sshdCommand(r *Rack, s Station, d Dirs) *exec.Cmd {
	return exec.Command("ip", "netns", "exec", r.Namespace(s.Name), "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(d.station(s.Name), "sshd_config"))
}
