package fleet

import (
	"context"
	"errors"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Links keeps one SSH connection per node, made when first needed.
type Links struct {
	target func(ctx context.Context, n model.Node) (remote.Target, error)

	mu    sync.Mutex
	links map[model.Path]*remote.Link
}

// NewLinks makes links to targets; target is asked at every new connection, since a reinstall changes what is known of a host.
func NewLinks(target func(ctx context.Context, n model.Node) (remote.Target, error)) *Links {
	return &Links{target: target, links: map[model.Path]*remote.Link{}}
}

// To is the link to a node.
func (l *Links) To(n model.Node) *remote.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	link, ok := l.links[n.Path]
	if !ok {
		link = remote.NewLink(func(ctx context.Context) (*remote.Client, error) {
			t, err := l.target(ctx, n)
			if err != nil {
				return nil, err
			}
			return remote.Connect(ctx, t)
		})
		l.links[n.Path] = link
	}
	return link
}

// Close ends all connections.
func (l *Links) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, link := range l.links {
		errs = append(errs, link.Close())
	}
	return errors.Join(errs...)
}
