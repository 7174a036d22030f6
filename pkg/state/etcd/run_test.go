package etcd_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/etcd/etcdtest"
)

// interrupted is a driver in front of which something happens once, in the middle of an act of one kind.
type interrupted struct {
	engine.Driver
	kind plan.Kind
	once sync.Once
	what func(ctx context.Context)

	mu   sync.Mutex
	acts map[plan.OpID]int
	at   plan.OpID // the op after whose act it happened
}

func (i *interrupted) Apply(ctx context.Context, op plan.Op, progress func(plan.Progress)) error {
	i.mu.Lock()
	i.acts[op.ID]++
	i.mu.Unlock()
	err := i.Driver.Apply(ctx, op, progress)
	if op.Kind == i.kind {
		i.once.Do(func() { i.at = op.ID; i.what(ctx) })
	}
	return err
}

// quick is a clock that runs fast: the blades of the fake world take minutes for what they do.
type quick struct{ since time.Time }

const faster = 200

func (q quick) Now() time.Time { return t0.Add(time.Since(q.since) * faster) }

func (q quick) Sleep(ctx context.Context, d time.Duration) error {
	return ops.SystemClock{}.Sleep(ctx, d/faster)
}

func (q quick) AfterFunc(d time.Duration, f func()) func() bool {
	return ops.SystemClock{}.AfterFunc(d/faster, f)
}

// installation is a workstation that installs two blades of a fake world, with its state in etcd.
type installation struct {
	t      *testing.T
	cfg    etcd.Config
	d      model.Desired
	lab    opstest.Lab
	driver *interrupted

	control *engine.Control // of the run that goes on
}

func newInstallation(t *testing.T, cfg etcd.Config, what func(context.Context)) *installation {
	d := opstest.Site(2)
	lab := rack.New(d, quick{time.Now()})
	return &installation{t: t, cfg: cfg, d: d, lab: lab, driver: &interrupted{Driver: ops.New(lab.World()), kind: plan.InstallWait, what: what, acts: map[plan.OpID]int{}}}
}

// plan observes and plans.
func (in *installation) plan() plan.Plan {
	in.t.Helper()
	seen, err := opstest.Observe(in.t.Context(), in.lab.World())
	if err != nil {
		in.t.Fatal(err)
	}
	images := map[string]model.Digest{}
	for i := range in.d.Nodes {
		images[in.d.Nodes[i].Image.Name] = in.d.Nodes[i].Image.Digest
		images[in.d.VMs[i].Image.Name] = in.d.VMs[i].Image.Digest
	}
	p, err := planner.Make(planner.Input{Goal: plan.GoalInstall, Desired: in.d, Observed: seen, Inventory: model.DigestJSON(in.d), Images: images})
	if err != nil {
		in.t.Fatal(err)
	}
	return p
}

// run applies a plan as one process would.
func (in *installation) run(p plan.Plan) engine.Result {
	in.t.Helper()
	s := open(in.t, in.cfg)
	defer closing(in.t, s)
	var l state.Lease
	until(in.t, "the lease of the run before to end", func() (ok bool) {
		var err error
		l, err = s.Acquire(in.t.Context(), "", state.Holder{User: "ann"})
		return err == nil
	})
	j := openJournal(in.t, s, l)
	in.control = engine.NewControl()
	ctx, deaf := context.WithCancel(in.t.Context())
	answered := make(chan error, 1)
	go func() {
		answered <- s.Answer(ctx, l, func(a state.Ask) (out state.Answer) {
			if err := in.control.Obey(a); err != nil {
				out.Refused = err.Error()
			}
			return out
		})
	}()
	defer func() {
		deaf()
		if err := <-answered; err != nil {
			in.t.Error(err)
		}
	}()
	res, err := engine.Run(in.t.Context(), p, engine.Options{Journal: j, Approver: "ann", Lost: l.Lost(), Limits: engine.DefaultLimits(), Control: in.control,
		Drivers: func(k plan.Kind) (engine.Driver, bool) { return in.driver, true }})
	if err != nil {
		in.t.Fatal(err)
	}
	closing(in.t, j)
	return res
}

// TestRunWithoutEtcd takes the majority of etcd away in the middle of a run. When it is back before the lease ends, the run goes on as if nothing had
// been; when not, the run stops, nothing more is begun, and the next one comes to the same end without doing anything destructive twice.
func TestRunWithoutEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of its own")
	}
	for name, c := range map[string]struct {
		ttl  time.Duration
		want engine.Kind
	}{"back in time": {patience, engine.Done}, "too late": {3 * etcd.MinTTL, engine.Interrupted}} {
		t.Run(name, func(t *testing.T) {
			own, err := etcdtest.Start(t.TempDir(), 3)
			if err != nil {
				t.Fatal(err)
			}
			defer own.Stop()
			cfg := own.Config("run")
			cfg.TTL = c.ttl
			reader := open(t, cfg)
			defer closing(t, reader)
			gone := func(ctx context.Context) {
				own.Pause(t, 0)
				own.Pause(t, 1)
				if c.want == engine.Interrupted {
					<-ctx.Done() // the run stops by itself
					return
				}
				until(t, "etcd to be without a majority", func() bool {
					short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					_, err := reader.Get(short, "b", "k")
					return err != nil && !errors.Is(err, state.ErrNotFound)
				})
				own.Resume(t, 0)
				own.Resume(t, 1)
			}
			in := newInstallation(t, cfg, gone)
			p := in.plan()
			back := make(chan struct{})
			if c.want == engine.Interrupted {
				in.driver.what = func(ctx context.Context) {
					gone(ctx)
					if !errors.Is(context.Cause(ctx), engine.ErrLeaseLost) {
						t.Errorf("the act was stopped by: %v", context.Cause(ctx))
					}
					own.Resume(t, 0)
					own.Resume(t, 1)
					close(back)
				}
			} else {
				close(back)
			}
			res := in.run(p)
			for in.driver.at == "" && res.Kind == engine.Interrupted { // its lease had ended before: a busy machine did not renew it in time
				p = in.plan()
				res = in.run(p)
			}
			<-back
			in.cfg.TTL = patience
			if res.Kind != c.want {
				t.Fatalf("the run ended as %s: %v", res.Kind, res.Error())
			}
			for res.Kind != engine.Done || !p.Empty() {
				if p = in.plan(); p.Empty() {
					break
				}
				if res = in.run(p); res.Kind != engine.Done {
					t.Fatalf("the run after it ended as %s: %v", res.Kind, res.Error())
				}
			}
			if n := in.driver.acts[in.driver.at]; n != 1 {
				t.Errorf("%s had been done when etcd went away, and was done %d times", in.driver.at, n)
			}
			verified(t, reader)
		})
	}
}
