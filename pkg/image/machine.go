package image

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// aptFiles are what a machine's apt configuration is read from (apt.conf(5), sources.list(5)).
var aptFiles = []string{
	"/etc/os-release", "/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*", "/etc/apt/sources.list", "/etc/apt/sources.list.d/*",
}

// machineArchive is MachineArchive, remembered until a file of the machine's apt configuration changes: apt itself takes a second.
func (s Store) machineArchive(ctx context.Context, d Definition) (Archive, error) {
	at := s.path("cache", "machine", machineKey(aptFiles, d).Hex()+".json")
	var archive Archive
	if content, err := os.ReadFile(at); err == nil && json.Unmarshal(content, &archive) == nil {
		return archive, nil
	}
	archive, err := MachineArchive(ctx, d.Release, d.Components)
	if err != nil {
		return archive, err
	}
	content, err := json.Marshal(archive)
	if err != nil {
		return archive, err
	}
	return archive, put(at, content)
}

// machineKey is the digest of everything that MachineArchive's answer follows from.
func machineKey(patterns []string, d Definition) model.Digest {
	parts := []any{d.Release, d.Components, os.Getenv("http_proxy"), os.Getenv("https_proxy")}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a malformed pattern; these are constants
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				continue // what this process cannot read, apt run by it cannot read either
			}
			parts = append(parts, f, model.DigestBytes(content))
		}
	}
	return model.DigestJSON(parts)
}
