package app

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// operatorKeyFile is the environment's variable with the file of the private key by which a person logs in to hosts that nuboctl did not lay down.
const operatorKeyFile = "NUBO_SSH_KEY"

// operatorKeys are the keys of the person at the keyboard, for hosts that do not know this cloud's SSH authority: the file that the environment names, else
// those of the ssh agent. The connection to the agent is made anew for each host and ends with the process.
func operatorKeys() ([]ssh.Signer, error) {
	if file := os.Getenv(operatorKeyFile); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operatorKeyFile, err)
		}
		signer, err := remote.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", operatorKeyFile, file, err)
		}
		return []ssh.Signer{signer}, nil
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
