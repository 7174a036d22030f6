package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// takeModules replaces a tree's modules by the named ones and what they need, uncompressed (the whole is compressed better), and its
// firmware by the files that those modules ask for. It gives the firmware that no package brought, for the log.
func (t tree) takeModules(ctx context.Context, names []string) (missing []string, err error) {
	all := t.root + "-modules" // beside the tree, in the same scratch directory
	dir := path.Join(modulesDir(t.root), t.kernel)
	if _, err := output(ctx, "depmod", "-b", t.root, t.kernel); err != nil {
		return nil, err
	}
	if err := os.Rename(t.at(dir), all); err != nil {
		return nil, err
	}
	var texts [3]string
	for i, name := range []string{"modules.dep", "modules.softdep", "modules.builtin"} {
		content, err := os.ReadFile(filepath.Join(all, name))
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", t.kernel, err)
		}
		texts[i] = string(content)
	}
	chosen, err := parseModules(texts[0], texts[1], texts[2]).choose(names)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", t.kernel, err)
	}
	for _, file := range append(chosen, "modules.order", "modules.builtin", "modules.builtin.modinfo") {
		to := t.at(path.Join(dir, file))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(filepath.Join(all, file), to)); err != nil {
			return nil, err
		}
	}
	files, err := t.unpackModules(ctx, t.at(dir), chosen)
	if err != nil {
		return nil, err
	}
	if _, err := output(ctx, "depmod", "-b", t.root, t.kernel); err != nil {
		return nil, err
	}
	return t.takeFirmware(ctx, files)
}

// unpackModules decompresses what Debian 13 and later ship compressed, and gives the resulting files.
func (t tree) unpackModules(ctx context.Context, dir string, chosen []string) ([]string, error) {
	var packed, files []string
	for _, file := range chosen {
		at := filepath.Join(dir, file)
		if plain, ok := strings.CutSuffix(at, ".xz"); ok {
			packed = append(packed, at)
			at = plain
		}
		files = append(files, at)
	}
	if len(packed) > 0 {
		if _, err := output(ctx, "xz", append([]string{"--decompress", "--threads=0", "--"}, packed...)...); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (t tree) takeFirmware(ctx context.Context, modules []string) (missing []string, err error) {
	said, err := output(ctx, "modinfo", append([]string{"-F", "firmware"}, modules...)...)
	if err != nil {
		return nil, err
	}
	from, to := t.root+"-firmware", t.at("/usr/lib/firmware")
	if err := os.Rename(to, from); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, name := range strings.Fields(said) {
		content, err := os.ReadFile(filepath.Join(from, name)) // follows links: packages link one blob to many names
		if err != nil {
			missing = append(missing, name)
			continue
		}
		if err := t.write(OverlayFile{Path: "/usr/lib/firmware/" + name, Mode: 0o644, Content: string(content)}); err != nil {
			return missing, err
		}
	}
	return missing, nil
}
