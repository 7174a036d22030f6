package plan

import "context"

type listenerKey struct{}

// Listen gives a context in which whatever waits on the way, also in questions that change nothing, tells listen what it waits for. As with package httptrace, what
// is asked need not know of it.
func Listen(ctx context.Context, listen func(Progress)) context.Context {
	return context.WithValue(ctx, listenerKey{}, listen)
}

// Listener is who listens in a context; nil when nobody does.
func Listener(ctx context.Context) func(Progress) {
	listen, _ := ctx.Value(listenerKey{}).(func(Progress))
	return listen
}
