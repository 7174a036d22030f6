package boot

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
)

// envSize and envHeader are GRUB's: include/grub/lib/envblk.h.
const (
	envSize   = 1024
	envHeader = "# GRUB Environment Block\n"
)

// Env is GRUB's environment block.
type Env map[string]string

// The variables.
const (
	DefaultSlot = "default_slot" // booted unless NextSlot is set
	NextSlot    = "next_slot"    // booted once; GRUB clears it first
	TrySeconds  = "try_seconds"  // reaches the tried system as nubo.try=: how long it has to be declared good
	LaidUnder   = "laid_under"   // nonce of the order that brought this disk's install to its end; GRUB does not read it
)

// Good is the variable that says that a slot has been declared good since it was written.
func Good(slot string) string { return "good_" + slot }

// ErrEnv says that a file is no environment block.
var ErrEnv = errors.New("not a GRUB environment block")

// ParseEnv reads an environment block of exactly 1024 bytes.
func ParseEnv(b []byte) (Env, error) {
	if len(b) != envSize || !strings.HasPrefix(string(b), envHeader) {
		return nil, fmt.Errorf("%w: %d bytes", ErrEnv, len(b))
	}
	env := Env{}
	for line := range strings.Lines(string(b[len(envHeader):])) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok || !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%w: line %.40q", ErrEnv, line)
		}
		env[name] = unescape(value)
	}
	return env, nil
}

// unescape undoes GRUB's backslashes before backslash and newline.
func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, "\\\n", "\n").Replace(s)
}

// Encode gives the block, variables sorted. Values may not hold newlines.
func (e Env) Encode() ([]byte, error) {
	names := make([]string, 0, len(e))
	for n := range e {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString(envHeader)
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, "=#\n\\") || strings.Contains(e[n], "\n") {
			return nil, fmt.Errorf("%w: variable %q cannot be kept", ErrEnv, n)
		}
		fmt.Fprintf(&b, "%s=%s\n", n, strings.ReplaceAll(e[n], `\`, `\\`))
	}
	if b.Len() > envSize {
		return nil, fmt.Errorf("%w: %d bytes do not fit into %d", ErrEnv, b.Len(), envSize)
	}
	b.WriteString(strings.Repeat("#", envSize-b.Len()))
	return []byte(b.String()), nil
}

// ReadEnv reads the block in a file.
func ReadEnv(path string) (Env, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("boot environment: %w", err)
	}
	env, err := ParseEnv(b)
	if err != nil {
		return nil, fmt.Errorf("boot environment %s: %w", path, err)
	}
	return env, nil
}

// WriteEnv writes the block over the file's own blocks and waits for the disk: GRUB reads without a journal, so the file is never
// renamed or cut (which grub-editenv does).
func WriteEnv(path string, e Env) error {
	b, err := e.Encode()
	if err != nil {
		return fmt.Errorf("boot environment %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("boot environment: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("boot environment %s: %w", path, err)
	}
	return nil
}
