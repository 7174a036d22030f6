package provision_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"aead.dev/minisign"
	"github.com/pin/tftp/v3"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/client"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// simBlade is one simulated blade.
type simBlade struct {
	n       int
	lan     *lan
	trust   []byte
	size    fleetSize
	http    *http.Client
	agent   *client.Client
	retries atomic.Int64
	first   atomic.Pointer[error] // why the relay was asked again
}

func newSimBlade(n int, l *lan, trust []byte, size fleetSize) *simBlade {
	dialer := &net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: fleetAddress(n).AsSlice()}}
	return &simBlade{n: n, lan: l, trust: trust, size: size,
		http: &http.Client{Timeout: 8 * time.Minute, Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1, DisableCompression: true}}}
}

func (b *simBlade) close() { b.http.CloseIdleConnections() }

// retrying counts what the agent had to ask for again: an answer of 5xx, a connection that was refused or broken. An answer that is late on a slow machine
// is no refusal.
func (b *simBlade) retrying(err error, _ time.Duration) {
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return
	}
	b.retries.Add(1)
	b.first.CompareAndSwap(nil, &err)
}

// refused says that something had to be asked for again, nil when nothing had.
func (b *simBlade) refused() error {
	if n := b.retries.Load(); n > 0 {
		return fmt.Errorf("%d requests were made again, the first because of: %w", n, *b.first.Load())
	}
	return nil
}

// start goes from power-on to the ramdisk, and gives the kernel's command line.
func (b *simBlade) start(ctx context.Context) (cmdline string, err error) {
	firstStage, err := b.lan.lease(ctx, b.n, firmware)
	if err != nil {
		return "", fmt.Errorf("firmware: %w", err)
	}
	if err := b.tftp(firstStage); err != nil {
		return "", err
	}
	script, err := b.lan.lease(ctx, b.n, ipxe)
	if err != nil {
		return "", fmt.Errorf("iPXE: %w", err)
	}
	if cmdline, err = b.ipxe(ctx, script); err != nil {
		return "", fmt.Errorf("iPXE: %w", err)
	}
	if _, err := b.lan.lease(ctx, b.n, ramdisk); err != nil {
		return "", fmt.Errorf("ramdisk: %w", err)
	}
	return cmdline, nil
}

// install goes from power-on to the report of success.
func (b *simBlade) install(ctx context.Context) error {
	cmdline, err := b.start(ctx)
	if err != nil {
		return err
	}
	if err := b.agentRun(ctx, cmdline); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// tftp loads the first stage, as firmware does.
func (b *simBlade) tftp(name string) error {
	c, err := tftp.NewClient(net.JoinHostPort(fleetRelay.String(), "69"))
	if err != nil {
		return err
	}
	c.SetBlockSize(1468)
	c.RequestTSize(true)
	c.SetTimeout(3 * time.Second)
	c.SetRetries(40) // firmware gives up sooner and starts over; here that would hide how long it took
	if err := c.SetLocalAddr(fleetAddress(b.n).String()); err != nil {
		return err
	}
	from, err := c.Receive(name, "octet")
	if err != nil {
		return fmt.Errorf("TFTP %s: %w", name, err)
	}
	n, err := from.WriteTo(io.Discard)
	if err == nil && n != b.size.FirstStage {
		err = fmt.Errorf("%d of %d bytes", n, b.size.FirstStage)
	}
	if err != nil {
		return fmt.Errorf("TFTP %s: %w", name, err)
	}
	return nil
}

var (
	kernelLine = regexp.MustCompile(`(?m)^kernel --name vmlinuz (\S+) initrd=initrd (.*?) \|\| goto again$`)
	initrdLine = regexp.MustCompile(`(?m)^initrd --name initrd (\S+) \|\| goto again$`)
)

// ipxe takes the script and what it names, and gives the kernel's command line.
func (b *simBlade) ipxe(ctx context.Context, script string) (cmdline string, err error) {
	var text bytes.Buffer
	if _, err := b.get(ctx, script, "", &text); err != nil {
		return "", err
	}
	kernel, initrd := kernelLine.FindStringSubmatch(text.String()), initrdLine.FindStringSubmatch(text.String())
	if kernel == nil || initrd == nil {
		return "", fmt.Errorf("the script starts no installer:\n%s", &text)
	}
	if err := b.boot(ctx, kernel[1], b.size.Kernel); err != nil {
		return "", err
	}
	return kernel[2], b.boot(ctx, initrd[1], b.size.Initrd)
}

// boot loads a boot file in two ranges, as a client does that was cut off in the middle. Its name begins with its digest.
func (b *simBlade) boot(ctx context.Context, from string, size int64) error {
	sum := sha256.New()
	for _, part := range []string{fmt.Sprintf("bytes=0-%d", size/3), fmt.Sprintf("bytes=%d-", size/3+1)} {
		if _, err := b.get(ctx, from, part, sum); err != nil {
			return err
		}
	}
	digest, _, _ := strings.Cut(from[strings.LastIndexByte(from, '/')+1:], "-")
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.HasPrefix(got, digest) {
		return fmt.Errorf("GET %s: the bytes have digest %s", from, got)
	}
	return nil
}

func (b *simBlade) get(ctx context.Context, from, part string, to io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return 0, err
	}
	want := http.StatusOK
	if part != "" {
		req.Header.Set("Range", part)
		want = http.StatusPartialContent
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return 0, fmt.Errorf("GET %s %s: %s", from, part, resp.Status)
	}
	n, err := io.Copy(to, resp.Body)
	if err != nil {
		return n, fmt.Errorf("GET %s %s: after %d bytes: %w", from, part, n, err)
	}
	return n, nil
}

// argument is a parameter of a kernel command line.
func argument(cmdline, name string) string {
	for word := range strings.FieldsSeq(cmdline) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

// agentRun is the agent's conversation with the relay, without the disk.
func (b *simBlade) agentRun(ctx context.Context, cmdline string) error {
	var err error
	if b.agent, err = client.New(argument(cmdline, "nubo.relay")); err != nil {
		return err
	}
	b.agent.Retrying = b.retrying
	if _, err := b.agent.Time(ctx); err != nil {
		return err
	}
	o, m, err := b.verified(ctx, argument(cmdline, "nubo.order"))
	if err != nil {
		return err
	}
	boot, seq := fmt.Sprintf("boot-%d", b.n), 0
	report := func(r order.Report) error {
		seq++
		r.FormatVersion, r.Order, r.Boot, r.Seq, r.Time = order.FormatVersion, o.ID, boot, seq, time.Now().UTC()
		return b.agent.Report(ctx, r)
	}
	facts := order.Facts{Serial: fleetSerial(b.n), Firmware: "uefi", CPUs: 72, MemoryMiB: 1 << 20,
		NICs: []order.FactNIC{{Name: "eth0", MAC: o.Machine.MACs[0], Carrier: true}}}
	if err := report(order.Report{Kind: order.ReportFacts, Facts: &facts}); err != nil {
		return err
	}
	granted, err := b.agent.Consume(ctx, o.ID, order.Consume{Nonce: o.Nonce, Serial: facts.Serial, Boot: boot})
	if err != nil {
		return err
	}
	read, err := b.image(ctx, m, func(done, total int64) error {
		return report(order.Report{Kind: order.ReportProgress, Progress: &order.Progress{Phase: "image", Done: done, Total: total}})
	})
	if err != nil {
		return err
	}
	return report(order.Report{Kind: order.ReportInstalled, Installed: &order.Installed{Nonce: o.Nonce, RootDisk: model.Disk{Serial: "root-1"}, Slot: "a",
		Image: o.Image.Digest, Config: model.DigestBytes(o.Config), HostKeys: []string{fmt.Sprintf("ssh-ed25519 KEY-%d", b.n)}, BytesRead: read, Attempt: granted.Attempt}})
}

// verified takes the order and the manifest, and proves that they are this blade's.
func (b *simBlade) verified(ctx context.Context, id string) (order.Order, *manifest.Manifest, error) {
	var key minisign.PublicKey
	if err := key.UnmarshalText(b.trust); err != nil {
		return order.Order{}, nil, err
	}
	signed, err := b.agent.Order(ctx, id)
	if err != nil {
		return order.Order{}, nil, err
	}
	o, err := order.Open(signed, key)
	if err == nil && o.Machine.Serial != fleetSerial(b.n) {
		err = fmt.Errorf("%w: serial %s", order.ErrMachine, o.Machine.Serial)
	}
	if err != nil {
		return o, nil, err
	}
	envelope, err := b.agent.Manifest(ctx, o.Image.Digest)
	if err != nil {
		return o, nil, err
	}
	image, err := manifest.DecodeSigned(envelope)
	if err != nil {
		return o, nil, err
	}
	m, err := manifest.Open(image, o.Image.Digest, key)
	return o, m, err
}

// image fetches every chunk and compares its digest. It keeps none: a thousand blades share this process's memory.
func (b *simBlade) image(ctx context.Context, m *manifest.Manifest, progress func(done, total int64) error) (int64, error) {
	file, ok := m.File(manifest.RootTar)
	if !ok {
		return 0, errors.New("the image has no " + manifest.RootTar)
	}
	var done int64
	for _, c := range file.Chunks {
		sum := sha256.New()
		n, err := b.get(ctx, b.agent.Base+"/v1/chunks/"+url.PathEscape(c.Digest.Hex()), "", sum)
		if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); err == nil && got != string(c.Digest) {
			err = fmt.Errorf("%w: %s has digest %s", manifest.ErrChunk, c.Digest, got)
		}
		done += n
		if err = errors.Join(err, ctx.Err()); err != nil {
			return done, err
		}
		if err := progress(done, file.Compressed()); err != nil {
			return done, err
		}
	}
	return done, nil
}
