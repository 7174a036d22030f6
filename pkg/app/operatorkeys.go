package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// operatorKeyFile is the environment's variable with the file of the private key by which a person logs in to hosts that nuboctl did not lay down. A
// certificate for it lies beside it, as for ssh (ssh(1), -i): FILE-cert.pub.
const operatorKeyFile = "NUBO_SSH_KEY"

// operatorKeys are the keys of the person at the keyboard, for hosts that do not know this cloud's SSH authority: the file that the environment names, else
// those of the ssh agent. The connection to the agent is made anew for each host and ends with the process.
func operatorKeys() ([]ssh.Signer, error) {
	if file := os.Getenv(operatorKeyFile); file != "" {
		signers, err := keysIn(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operatorKeyFile, err)
		}
		return signers, nil
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, errors.New("no key of yours to log in to hosts that nuboctl did not lay down: start an ssh agent, or name the file of a private key in " + operatorKeyFile)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ssh agent: %w", err)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err == nil && len(signers) == 0 {
		err = errors.New("it holds no key: ssh-add adds one")
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("ssh agent: %w", err)
	}
	return signers, nil
}

// keysIn gives the key in a file, after the certificate for it where there is one.
func keysIn(file string) ([]ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := remote.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	beside := file + "-cert.pub"
	text, err = os.ReadFile(beside)
	if errors.Is(err, fs.ErrNotExist) {
		return []ssh.Signer{key}, nil
	}
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", beside, err)
	}
	certificate, is := public.(*ssh.Certificate)
	if !is {
		return nil, fmt.Errorf("%s: it holds a %s and no certificate", beside, public.Type())
	}
	certified, err := ssh.NewCertSigner(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", beside, err)
	}
	return []ssh.Signer{certified, key}, nil
}
