package slot

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// identity gives the slot the host's machine-id and makes sure that host keys are on state; it makes both where there are none yet. It
// returns the public keys.
func identity(j Job) ([]string, error) {
	dir := filepath.Join(j.State, NuboDir)
	id, err := machineID(filepath.Join(dir, "machine-id"))
	if err != nil {
		return nil, fmt.Errorf("machine-id: %w", err)
	}
	if err := put(j.Root, "/etc/machine-id", id+"\n", 0o444); err != nil {
		return nil, fmt.Errorf("machine-id: %w", err)
	}
	key, err := hostKey(filepath.Join(dir, sshKeyFile), j.Order.Hostname)
	if err != nil {
		return nil, fmt.Errorf("SSH host key: %w", err)
	}
	return []string{key}, nil
}

// HostKeys reads the public halves of a host's keys from its state partition.
func HostKeys(state string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(state, NuboDir, sshKeyFile+".pub"))
	if err != nil {
		return nil, fmt.Errorf("SSH host key: %w", err)
	}
	return []string{strings.TrimSpace(string(b))}, nil
}

// machineID reads the id, or makes one: a random UUID of version 4 without dashes (machine-id(5)).
func machineID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return text, keep(path, []byte(text+"\n"), 0o644)
}

// hostKey returns the public half of the key at path, and makes the pair where there is none. The private half never leaves the disk.
func hostKey(path, hostname string) (string, error) {
	b, err := os.ReadFile(path + ".pub")
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, hostname)
	if err != nil {
		return "", err
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic)))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := keep(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", err
	}
	return line, keep(path+".pub", []byte(line+"\n"), 0o644)
}

// keep writes a file whole or not at all.
func keep(path string, body []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
