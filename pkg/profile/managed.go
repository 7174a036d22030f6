package profile

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/coreos/ignition/v2/config/v3_3/types"
	"github.com/vincent-petithory/dataurl"
)

// HostFile is a file as a configuration lays it down.
type HostFile struct {
	Path    string
	Mode    fs.FileMode
	Content []byte
}

// Managed lists the files whose whole content a rendered configuration gives: those of the author and nuboctl's own, units and their drop-ins. Files that are
// only appended to are left out, since what stood there before is the image's matter.
func Managed(ignition []byte) ([]HostFile, error) {
	var c types.Config
	if err := json.Unmarshal(ignition, &c); err != nil {
		return nil, fmt.Errorf("rendered configuration: %w", err)
	}
	var out []HostFile
	for _, f := range c.Storage.Files {
		if f.Contents.Source == nil || len(f.Append) > 0 {
			continue
		}
		content, err := contentOf(f.Contents)
		if err != nil {
			return nil, fmt.Errorf("rendered configuration: %s: %w", f.Path, err)
		}
		mode := fs.FileMode(0o644)
		if f.Mode != nil {
			mode = fs.FileMode(*f.Mode) & fs.ModePerm
		}
		out = append(out, HostFile{f.Path, mode, content})
	}
	for _, u := range c.Systemd.Units {
		file := path.Join("/etc/systemd/system", u.Name)
		if u.Mask != nil && *u.Mask {
			continue
		}
		if u.Contents != nil && *u.Contents != "" {
			out = append(out, HostFile{file, 0o644, []byte(*u.Contents)})
		}
		for _, d := range u.Dropins {
			if d.Contents != nil {
				out = append(out, HostFile{path.Join(file+".d", d.Name), 0o644, []byte(*d.Contents)})
			}
		}
	}
	return out, nil
}

// contentOf decodes what Butane and this package write: a data: URL, perhaps gzipped.
func contentOf(r types.Resource) ([]byte, error) {
	u, err := dataurl.DecodeString(*r.Source)
	if err != nil {
		return nil, err
	}
	if r.Compression == nil || *r.Compression == "" {
		return u.Data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(u.Data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 64<<20))
}
