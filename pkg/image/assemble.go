package image

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"
)

// Where the assembled ramdisk has the agent and the key that it trusts.
const (
	AgentPath = "usr/bin/nubo-agent"
	TrustPath = "etc/nubo/trust.pub"
)

// AssembleRamdisk joins a ramdisk's base with what one site adds: the agent's program and the minisign public key (the text of a .pub
// file) whose orders and images it accepts. The kernel unpacks the two archives one after the other. The same parts give the same bytes.
func AssembleRamdisk(base, agentPath string, trustPub []byte) ([]byte, error) {
	out, err := os.ReadFile(base)
	if err != nil {
		return nil, fmt.Errorf("ramdisk: its base: %w", err)
	}
	agent, err := os.ReadFile(agentPath)
	if err != nil {
		return nil, fmt.Errorf("ramdisk: the agent: %w", err)
	}
	added, err := segment(agent, trustPub)
	if err != nil {
		return nil, fmt.Errorf("ramdisk: what is added to the base: %w", err)
	}
	for len(out)%4 != 0 { // archives begin at multiples of four; the kernel passes over zeros between them
		out = append(out, 0)
	}
	return append(out, added...), nil
}

// segment is a compressed archive of the agent and the key.
func segment(agent, trustPub []byte) ([]byte, error) {
	var buf bytes.Buffer
	w := cpio.NewWriter(&buf)
	inode := int64(0)
	entry := func(name string, mode cpio.FileMode, content []byte) error {
		inode++
		return writeFile(w, &cpio.Header{Name: name, Mode: mode, Links: 1, Inode: inode}, content)
	}
	for _, step := range []func() error{
		func() error { return entry("etc/nubo", cpio.TypeDir|0o755, nil) },
		func() error { return entry(TrustPath, cpio.TypeReg|0o644, trustPub) },
		func() error { return entry(AgentPath, cpio.TypeReg|0o755, agent) },
		w.Close,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return squeeze(&buf)
}

// squeeze compresses an initramfs archive as the kernel can unpack it: one zstd frame, window of 8 MiB.
func squeeze(from io.Reader) ([]byte, error) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, from); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
