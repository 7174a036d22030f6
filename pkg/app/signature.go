package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"
	"golang.org/x/term"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// SignOptions say with which key a plan is signed.
type SignOptions struct {
	Sign       bool   // sign what is saved
	Key        string // a minisign secret key; empty: this cloud's
	Passphrase string // a file that holds the passphrase of Key; "-": standard input; empty: ask
}

// wanted tells whether a plan that is saved is to be signed.
func (o SignOptions) wanted() bool { return o.Sign || o.Key != "" }

// Sign signs a saved plan: FILE.minisig is written beside it.
func Sign(ctx context.Context, e Env, name string, o SignOptions) error {
	file, err := plan.ReadFile(name)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	key, err := e.signingKey(ctx, o)
	if err != nil {
		return err
	}
	digest, err := e.signPlan(name, file, key)
	if err != nil {
		return err
	}
	public, ok := key.Public().(minisign.PublicKey)
	if !ok {
		return errors.New("the key that signs has no public half")
	}
	if e.JSON {
		return view.JSON(e.Out, struct {
			FormatVersion int          `json:"format_version"`
			Plan          string       `json:"plan"`
			Digest        model.Digest `json:"digest"`
			Signature     string       `json:"signature"`
			Key           string       `json:"public_key"`
		}{1, name, digest, name + plan.SignatureSuffix, public.String()})
	}
	_, err = fmt.Fprintf(e.Out, "Signed the plan %s: %s\nAnybody can check it: minisign -V -P %s -m %s\n", digest.Short(), name+plan.SignatureSuffix, public, name)
	return err
}

// withSignature saves a plan file, signed where that is asked for. The signature of what the file held before goes, since it is none of this plan.
func (e Env) withSignature(ctx context.Context, name string, file []byte, o SignOptions) error {
	var key minisign.PrivateKey
	if o.wanted() {
		var err error
		if key, err = e.signingKey(ctx, o); err != nil {
			return err
		}
	}
	if err := os.Remove(name + plan.SignatureSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the signature of the plan that was saved there before: %w", err)
	}
	if err := replaceFile(name, file); err != nil || !o.wanted() {
		return err
	}
	_, err := e.signPlan(name, file, key)
	return err
}

// signPlan writes the signature of a plan file beside it.
func (e Env) signPlan(name string, file []byte, key minisign.PrivateKey) (model.Digest, error) {
	signature, digest, err := plan.Sign(file, key, e.Now())
	if err != nil {
		return "", fmt.Errorf("plan %s: %w", name, err)
	}
	return digest, replaceFile(name+plan.SignatureSuffix, signature)
}

// signingKey reads the key that signs: the one that is named, or this cloud's, which is not made for this.
func (e Env) signingKey(ctx context.Context, o SignOptions) (minisign.PrivateKey, error) {
	name := o.Key
	if name == "" {
		name = filepath.Join(e.stateDir(), "keys", "sign.key")
	}
	var key minisign.PrivateKey
	text, err := privateFile(name)
	if o.Key == "" && errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("this cloud has no key yet (%s): choose the inventory with -C DIR, or name a key of your own with --key FILE", name)
	}
	if err != nil {
		return key, fmt.Errorf("the key that signs: %w", err)
	}
	if !minisign.IsEncrypted(text) {
		if err := key.UnmarshalText(text); err != nil {
			return key, fmt.Errorf("%s: %w; make a key with: minisign -G -s %s", name, err, name)
		}
		return key, nil
	}
	passphrase, err := e.passphrase(ctx, name, o.Passphrase)
	if err != nil {
		return key, err
	}
	if key, err = minisign.DecryptKey(passphrase, text); err != nil {
		return key, fmt.Errorf("%s: the passphrase does not open it", name)
	}
	return key, nil
}

// privateFile reads a file that nobody else may read, as a key or a passphrase is.
func privateFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", name, info.Mode().Perm(), name)
	}
	return os.ReadFile(name)
}

// passphrase reads what opens a key: from a file or standard input where one is named, else from the terminal without showing it. It is never taken
// from an argument or the environment, which others can read.
func (e Env) passphrase(ctx context.Context, key, from string) (string, error) {
	switch {
	case from == "-":
		return firstLine(e.In)
	case from != "":
		text, err := privateFile(from)
		if err != nil {
			return "", fmt.Errorf("passphrase: %w", err)
		}
		return firstLine(bytes.NewReader(text))
	}
	in, ok := e.In.(*os.File)
	if !e.Interactive || !ok {
		return "", fmt.Errorf("%s is locked by a passphrase and nobody is there to type it: name a file that holds it with --passphrase-file FILE, or - for standard input", key)
	}
	return e.askHidden(ctx, in, fmt.Sprintf("Passphrase of %s: ", key))
}

// firstLine reads a line that is not kept on a terminal, as a pipe gives it.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("passphrase from standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// askHidden asks on a terminal and does not show what is typed. When it is interrupted it leaves the terminal as it was.
func (e Env) askHidden(ctx context.Context, terminal *os.File, question string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("passphrase: %w", err)
	}
	fmt.Fprint(e.Err, question)
	defer fmt.Fprintln(e.Err)
	type answer struct {
		text []byte
		err  error
	}
	typed := make(chan answer, 1)
	go func() { // a read from a terminal cannot be cancelled; the process ends soon after
		text, err := term.ReadPassword(fd)
		typed <- answer{text, err}
	}()
	select {
	case a := <-typed:
		if a.err != nil {
			a.err = fmt.Errorf("passphrase: %w", a.err)
		}
		return string(a.text), a.err
	case <-ctx.Done():
		_ = term.Restore(fd, before) // nothing better can be done about a terminal that refuses
		return "", &Exit{Code: ExitInterrupted, Err: errors.New("interrupted: nothing was signed")}
	}
}
