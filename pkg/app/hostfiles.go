package app

import (
	"github.com/nuboctl/nuboctl/pkg/host/files"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/profile"
)

// hostFiles are the files that a node's rendered configuration lays down.
func (s *session) hostFiles(n model.Node) ([]files.File, error) {
	managed, err := profile.Managed(s.configs[n.Path])
	if err != nil {
		return nil, err
	}
	out := make([]files.File, len(managed))
	for i, f := range managed {
		out[i] = files.File(f)
	}
	return out, nil
}
