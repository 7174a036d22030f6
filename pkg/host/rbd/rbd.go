package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Image is a disk as it is wanted.
type Image struct {
	Pool    string
	Name    string
	SizeGiB int
	// Base, where set, is what the disk holds at first; nil: nothing.
	Base *Base
}

// Base is the content that disks begin with. It is brought into the pool once, and disks are copy-on-write clones of it.
type Base struct {
	// SHA256 of the raw content, 64 hexadecimal digits.
	SHA256 string
	// Open gives the content; it is called only when the pool has no such base.
	Open func() (io.ReadCloser, error)
}

// Info is what Ceph says of an image.
type Info struct {
	Bytes    int64
	Parent   string   // name of the base that it is a clone of
	Watchers []string // addresses of the clients that have it open
}

// What can go wrong, for errors.Is.
var (
	// ErrNoImage: the pool has no such image.
	ErrNoImage = errors.New("no such image")
	// ErrShrink: the image is larger than what is wanted.
	ErrShrink = errors.New("an image is never made smaller")
	// ErrContent: the content is not the one that its digest names.
	ErrContent = errors.New("the content is another one than its digest says")
)

// baseSnap is the snapshot of a base that clones hang on. A base without it did not arrive whole.
const baseSnap = "nubo"

const gib = 1 << 30

var (
	word   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	digest = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Check gives every mistake in a wanted image.
func (i Image) Check() error {
	var errs []error
	if !word.MatchString(i.Pool) || !word.MatchString(i.Name) {
		errs = append(errs, fmt.Errorf("image %q of pool %q: names are letters, digits, '_', '.', '-'", i.Name, i.Pool))
	}
	if i.SizeGiB < 1 {
		errs = append(errs, fmt.Errorf("image %s/%s: %d GiB is no size", i.Pool, i.Name, i.SizeGiB))
	}
	if i.Base != nil && !digest.MatchString(i.Base.SHA256) {
		errs = append(errs, fmt.Errorf("image %s/%s: %q is no SHA-256", i.Pool, i.Name, i.Base.SHA256))
	}
	return errors.Join(errs...)
}

func (i Image) spec() string { return i.Pool + "/" + i.Name }

// run calls rbd; how long it may take is the caller's context.
func run(ctx context.Context, h remote.Host, stdin io.Reader, words ...string) ([]byte, error) {
	res, err := h.Run(ctx, remote.Command{Argv: append([]string{"rbd"}, words...), Stdin: stdin})
	if err != nil {
		return nil, fmt.Errorf("rbd %s: %w", words[0], err)
	}
	return res.Stdout, nil
}

// failed reports whether rbd ended with an errno.
func failed(err error, with syscall.Errno) bool {
	code, ran := remote.ExitCode(err)
	return ran && code == int(with)
}

// answerWithin bounds a question to the cluster, of several commands: each starts Python or librados anew, which takes long on a busy host.
const answerWithin = 5 * time.Minute

// Look asks for one image; ErrNoImage when there is none.
func Look(ctx context.Context, h remote.Host, pool, name string) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	spec := pool + "/" + name
	out, err := run(ctx, h, nil, "info", "--format", "json", spec)
	if failed(err, syscall.ENOENT) {
		return Info{}, fmt.Errorf("%s: %w: %w", spec, ErrNoImage, err)
	}
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", spec, err)
	}
	var info struct {
		Size   int64 `json:"size"`
		Parent struct {
			Image string `json:"image"`
		} `json:"parent"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return Info{}, fmt.Errorf("%s: rbd info: %w", spec, err)
	}
	watchers, err := watchers(ctx, h, spec)
	return Info{Bytes: info.Size, Parent: info.Parent.Image, Watchers: watchers}, err
}

// watchers are the clients that have an image open: a virtual machine that runs is one.
func watchers(ctx context.Context, h remote.Host, spec string) ([]string, error) {
	out, err := run(ctx, h, nil, "status", "--format", "json", spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	var status struct {
		Watchers []struct {
			Address string `json:"address"`
		} `json:"watchers"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, fmt.Errorf("%s: rbd status: %w", spec, err)
	}
	var list []string
	for _, w := range status.Watchers {
		list = append(list, w.Address)
	}
	return list, nil
}

// Ensure makes the image where it is missing, and grows it where it is too small. It reports whether it changed anything. Only one call at a
// time may be at work on a base: the caller sees to that.
func Ensure(ctx context.Context, h remote.Host, want Image) (changed bool, err error) {
	if err := want.Check(); err != nil {
		return false, err
	}
	have, err := Look(ctx, h, want.Pool, want.Name)
	switch {
	case errors.Is(err, ErrNoImage):
		if err := create(ctx, h, want); err != nil {
			return false, err
		}
		changed = true
		if have, err = Look(ctx, h, want.Pool, want.Name); err != nil {
			return true, err
		}
	case err != nil:
		return false, err
	}
	wanted := int64(want.SizeGiB) * gib
	switch {
	case have.Bytes > wanted:
		return changed, fmt.Errorf("%s: %w: it has %d bytes, %d GiB are wanted", want.spec(), ErrShrink, have.Bytes, want.SizeGiB)
	case have.Bytes == wanted:
		return changed, nil
	}
	if _, err := run(ctx, h, nil, "resize", "--no-progress", "--size", strconv.Itoa(want.SizeGiB)+"G", want.spec()); err != nil {
		return changed, fmt.Errorf("%s: grow: %w", want.spec(), err)
	}
	return true, nil
}

// create makes an image, empty or as a clone of its base.
func create(ctx context.Context, h remote.Host, want Image) error {
	if want.Base == nil {
		_, err := run(ctx, h, nil, "create", "--size", strconv.Itoa(want.SizeGiB)+"G", want.spec())
		return wrap(err, want.spec())
	}
	base, err := ensureBase(ctx, h, want)
	if err != nil {
		return err
	}
	_, err = run(ctx, h, nil, "clone", base+"@"+baseSnap, want.spec())
	return wrap(err, want.spec())
}

func wrap(err error, spec string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: make: %w", spec, err)
}

// ensureBase brings the base into the pool unless it is there. It comes under another name first, so that half of it is never taken for all.
func ensureBase(ctx context.Context, h remote.Host, want Image) (string, error) {
	base := want.Pool + "/nubo-base-" + want.Base.SHA256
	out, err := run(ctx, h, nil, "snap", "ls", "--format", "json", base)
	switch {
	case err == nil && strings.Contains(string(out), `"name":"`+baseSnap+`"`):
		return base, fits(ctx, h, want)
	case err == nil:
		return base, errors.Join(snapshot(ctx, h, base), fits(ctx, h, want))
	case !failed(err, syscall.ENOENT):
		return "", fmt.Errorf("%s: %w", base, err)
	}
	part := base + ".part"
	if _, err := run(ctx, h, nil, "rm", "--no-progress", part); err != nil && !failed(err, syscall.ENOENT) {
		return "", fmt.Errorf("%s: remove what an earlier run left: %w", part, err)
	}
	if err := bring(ctx, h, want.Base, part); err != nil {
		return "", err
	}
	if _, err := run(ctx, h, nil, "rename", part, base); err != nil {
		return "", fmt.Errorf("%s: %w", part, err)
	}
	return base, errors.Join(snapshot(ctx, h, base), fits(ctx, h, want))
}

// snapshot marks a base as whole.
func snapshot(ctx context.Context, h remote.Host, base string) error {
	if _, err := run(ctx, h, nil, "snap", "create", "--no-progress", base+"@"+baseSnap); err != nil && !failed(err, syscall.EEXIST) {
		return fmt.Errorf("%s: %w", base, err)
	}
	if _, err := run(ctx, h, nil, "snap", "protect", base+"@"+baseSnap); err != nil && !failed(err, syscall.EBUSY) {
		return fmt.Errorf("%s: %w", base, err)
	}
	return nil
}

// fits refuses a disk that its content does not fit in, before it is made.
func fits(ctx context.Context, h remote.Host, want Image) error {
	base, err := Look(ctx, h, want.Pool, "nubo-base-"+want.Base.SHA256)
	if err != nil {
		return err
	}
	if base.Bytes > int64(want.SizeGiB)*gib {
		return fmt.Errorf("%s: %w: its content has %d bytes, %d GiB are wanted", want.spec(), ErrShrink, base.Bytes, want.SizeGiB)
	}
	return nil
}
