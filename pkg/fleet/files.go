package fleet

import (
	"context"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/files"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// mostNamed is how many changed files an observation names.
const mostNamed = 5

// files tells whether a host's files are as its configuration laid them down; empty when that could not be found out.
func (h *Hosts) files(ctx context.Context, link remote.Host, n model.Node) string {
	want, err := h.Files(n)
	var drift []files.Drift
	if err == nil {
		drift, err = files.Observe(ctx, link, want)
	}
	if err != nil {
		h.Log.Warn("files of a host could not be compared", "node", string(n.Path), "error", err)
		return ""
	}
	if len(drift) == 0 {
		return facts.FilesKept
	}
	var names []string
	for _, d := range drift[:min(len(drift), mostNamed)] {
		names = append(names, d.String())
	}
	if more := len(drift) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// EnsureFiles puts back files of a host that are not as its configuration laid them down.
func (h *Hosts) EnsureFiles(ctx context.Context, n model.Node) error {
	want, err := h.Files(n)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	done, err := files.Repair(ctx, remote.Fenced{Host: h.Links.To(n), Epoch: h.Epoch}, want)
	for _, d := range done {
		h.Log.Info("file put back", "node", string(n.Path), "file", d.Path, "was", d.What)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}
