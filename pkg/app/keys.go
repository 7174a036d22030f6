package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"
	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/pki"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// keys are the operator's: one signs orders and images, one is the SSH CA that hosts trust, one logs in under a certificate of that CA.
type keys struct {
	dir    string
	Sign   minisign.PrivateKey
	Public minisign.PublicKey
	CA     *remote.Authority
	Login  ssh.Signer
	Move   kvm.Authorities // by which hosts trust each other when virtual machines move
}

// openKeys reads the keys of a state directory, and makes those that are not there. made tells whether any was.
func openKeys(stateDir string, now time.Time) (k *keys, made bool, err error) {
	k = &keys{dir: filepath.Join(stateDir, "keys")}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("keys: make their directory: %w", err)
	}
	madeSign, err1 := k.openSign()
	madeSSH, err2 := k.openSSH()
	madeMove, err3 := k.openMove(now)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, false, err
	}
	return k, madeSign || madeSSH || madeMove, nil
}

func (k *keys) openSign() (made bool, err error) {
	text, made, err := k.openOrMake("sign.key", func() ([]byte, error) {
		_, private, err := minisign.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return private.MarshalText()
	})
	if err != nil {
		return false, err
	}
	if err := k.Sign.UnmarshalText(text); err != nil {
		return false, fmt.Errorf("keys: %s: %w", filepath.Join(k.dir, "sign.key"), err)
	}
	public, ok := k.Sign.Public().(minisign.PublicKey)
	if !ok {
		return false, errors.New("keys: sign.key has no public half")
	}
	k.Public = public
	file, err := public.MarshalText() // with the line before the key that minisign -p asks for
	if err != nil {
		return false, fmt.Errorf("keys: sign.pub: %w", err)
	}
	return made, k.publish("sign.pub", string(file))
}

func (k *keys) openSSH() (made bool, err error) {
	newKey := func(comment string) func() ([]byte, error) {
		return func() ([]byte, error) {
			private, _, err := remote.NewKey(comment)
			return private, err
		}
	}
	ca, madeCA, err := k.openOrMake("ssh_ca", newKey("nuboctl user CA"))
	if err != nil {
		return false, err
	}
	login, madeLogin, err := k.openOrMake("ssh_key", newKey("nuboctl"))
	if err != nil {
		return false, err
	}
	if k.CA, err = remote.NewAuthority(ca); err != nil {
		return false, fmt.Errorf("keys: %s: %w", filepath.Join(k.dir, "ssh_ca"), err)
	}
	if k.Login, err = remote.ParseKey(login); err != nil {
		return false, fmt.Errorf("keys: %s: %w", filepath.Join(k.dir, "ssh_key"), err)
	}
	return madeCA || madeLogin, errors.Join(
		k.publish("ssh_ca.pub", remote.AuthorizedKey(k.CA.PublicKey())),
		k.publish("ssh_key.pub", remote.AuthorizedKey(k.Login.PublicKey())))
}

// openMove reads the two authorities of live migration.
func (k *keys) openMove(now time.Time) (made bool, err error) {
	open := func(file, name string, into **pki.Authority) error {
		text, fresh, err := k.openOrMake(file, func() ([]byte, error) { return pki.New(name, now) })
		if err != nil {
			return err
		}
		made = made || fresh
		if *into, err = pki.Parse(text); err != nil {
			return fmt.Errorf("keys: %s: %w", filepath.Join(k.dir, file), err)
		}
		return k.publish(file+".pub", string((*into).Certificate()))
	}
	return made, errors.Join(open("libvirt_ca", "nuboctl libvirt", &k.Move.Libvirt), open("qemu_ca", "nuboctl qemu", &k.Move.QEMU))
}

// openOrMake reads a private key, or makes it so that two processes at once end up with the same one.
func (k *keys) openOrMake(name string, makeKey func() ([]byte, error)) (text []byte, made bool, err error) {
	file := filepath.Join(k.dir, name)
	text, err = os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("keys: %w", err)
		}
		return text, false, err
	}
	if text, err = makeKey(); err != nil {
		return nil, false, fmt.Errorf("keys: make %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(k.dir, ".new-*") // mode 0600
	if err != nil {
		return nil, false, fmt.Errorf("keys: make %s: %w", file, err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // a second name of the same file, or nothing
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, false, fmt.Errorf("keys: make %s: %w", file, err)
	}
	// A link fails where a rename would overwrite the key that another process has made in between.
	if err := os.Link(tmp.Name(), file); errors.Is(err, fs.ErrExist) {
		text, err = os.ReadFile(file)
		return text, false, err
	} else if err != nil {
		return nil, false, fmt.Errorf("keys: make %s: %w", file, err)
	}
	return text, true, nil
}

// publish keeps a public half beside the private one, for people and for ssh.
func (k *keys) publish(name, text string) error {
	file := filepath.Join(k.dir, name)
	have, err := os.ReadFile(file)
	if err == nil && strings.TrimSpace(string(have)) == strings.TrimSpace(text) {
		return nil
	}
	if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}
