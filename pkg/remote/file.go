package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Bytes makes a file from content in memory.
func Bytes(name string, mode fs.FileMode, content []byte) File {
	return File{Path: name, Mode: mode, Content: bytes.NewReader(content)}
}

// writeScript writes stdin to $1 with mode $2 and owner $3 (may be empty), provided that its SHA-256 is $4: a connection that breaks in the
// middle looks like the end of the file to cat, and must not leave half of it behind.
const writeScript = `umask 077
dir=$(dirname -- "$1")
tmp=$(mktemp -- "$dir/.nubo-XXXXXXXXXX")
trap 'rm -f -- "$tmp"' EXIT
cat >"$tmp"
sum=$(sha256sum <"$tmp")
if [ "${sum%% *}" != "$4" ]; then
  echo "$1: content did not arrive whole" >&2
  exit 74
fi
if [ -n "$3" ]; then chown -- "$3" "$tmp"; fi
chmod -- "$2" "$tmp"
sync -- "$tmp"
mv -fT -- "$tmp" "$1"
trap - EXIT
sync -- "$dir"`

// check reports what is wrong with a file before anything is sent.
func (f File) check() error {
	switch {
	case !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/":
		return fmt.Errorf("file %q: the path must be absolute and clean", f.Path)
	case f.Content == nil:
		return fmt.Errorf("file %s: no content given", f.Path)
	case f.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("file %s: mode %v has more than permission bits", f.Path, f.Mode)
	}
	return nil
}

// mode gives the permission bits in octal as chmod takes them.
func (f File) mode() string {
	if f.Mode == 0 {
		return "0644"
	}
	return fmt.Sprintf("%04o", f.Mode.Perm())
}

// sum gives the SHA-256 of the content and rewinds it.
func (f File) sum() (string, error) {
	if _, err := f.Content.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("file %s: rewind content: %w", f.Path, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f.Content); err != nil {
		return "", fmt.Errorf("file %s: read content: %w", f.Path, err)
	}
	if _, err := f.Content.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("file %s: rewind content: %w", f.Path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// command gives the command that writes the file.
func (f File) command() (Command, error) {
	if err := f.check(); err != nil {
		return Command{}, err
	}
	sum, err := f.sum()
	if err != nil {
		return Command{}, err
	}
	return Command{
		Argv:  []string{"sh", "-euc", writeScript, "write", f.Path, f.mode(), f.Owner, sum},
		Stdin: f.Content, Sudo: f.Sudo,
	}, nil
}

// runner is the part of a Host that writeFile needs.
type runner interface {
	Run(ctx context.Context, cmd Command) (Result, error)
}

// writeFile is Write for every driver that can run a shell.
func writeFile(ctx context.Context, h runner, f File) error {
	cmd, err := f.command()
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, cmd); err != nil {
		var exit *ExitError
		if errors.As(err, &exit) {
			exit.Command = "write " + f.Path
		}
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	return nil
}

// Ensure writes the file unless the host has it with the same content, mode and owner already, and reports whether it wrote.
func Ensure(ctx context.Context, h Host, f File) (changed bool, err error) {
	if err := f.check(); err != nil {
		return false, err
	}
	sum, err := f.sum()
	if err != nil {
		return false, err
	}
	res, err := h.Run(ctx, Command{
		Argv: []string{"sh", "-euc", `[ -f "$1" ] || exit 0; sha256sum <"$1"; stat -c '%04a %U:%G' -- "$1"`, "stat", f.Path},
		Sudo: f.Sudo,
	})
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", f.Path, err)
	}
	if f.matches(string(res.Stdout), sum) {
		return false, nil
	}
	return true, h.Write(ctx, f)
}

// matches compares the answer of Ensure's question: "DIGEST  -", then "MODE USER:GROUP".
func (f File) matches(answer, sum string) bool {
	words := strings.Fields(answer)
	if len(words) != 4 || words[0] != sum || words[2] != f.mode() {
		return false
	}
	user, _, _ := strings.Cut(words[3], ":")
	return f.Owner == "" || f.Owner == words[3] || f.Owner == user
}

// ReadFile gives a file's content; fs.ErrNotExist when there is none. At most MaxOutput bytes.
func ReadFile(ctx context.Context, h Host, name string) ([]byte, error) {
	const missing = 44
	res, err := h.Run(ctx, Command{Argv: []string{
		"sh", "-euc", `[ -e "$1" ] || exit 44; cat -- "$1"`, "read", name,
	}})
	if code, ok := ExitCode(err); ok && code == missing {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return res.Stdout, nil
}
