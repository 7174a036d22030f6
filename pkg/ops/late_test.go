package ops_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// TestALateBootIsNotCutOff lets a machine take longer to boot its installer than it may be silent, while its BMC lets wait whoever is to start it anew: when the
// BMC answers, the machine is a host under keys that nobody knows yet, and its power stays on.
func TestALateBootIsNotCutOff(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		r := rack.New(s.d, ops.SystemClock{})
		s.lab = r
		var boots, downs atomic.Int32
		r.Firmware = func(n model.Path) (time.Duration, rack.Fault) {
			if boots.Add(1) > 1 {
				return time.Minute, rack.Sound
			}
			time.AfterFunc(ops.SilenceLimit-time.Minute, func() { r.Break(n, rack.Unreachable) })
			time.AfterFunc(ops.SilenceLimit+6*time.Minute, func() { r.Break(n, rack.Sound) })
			return ops.SilenceLimit + time.Minute, rack.Sound
		}
		r.Down = func(model.Path) { downs.Add(1) }
		p := s.plan(plan.GoalInstall)
		for i := range p.Stages {
			for k := range p.Stages[i].Ops {
				if op := &p.Stages[i].Ops[k]; op.Kind == plan.PowerOn || op.Kind == plan.InstallWait {
					op.Args = map[string]string{"boots": "3"}
				}
			}
		}
		if res := s.run(t.Context(), p); res.Kind != engine.Done {
			t.Fatalf("%s: %v", res.Kind, res.Error())
		}
		if downs.Load() > 0 || boots.Load() != 2 || r.Begun(s.node(0)) != 1 {
			t.Errorf("its host went down %d times; it was started %d times, and written %d times", downs.Load(), boots.Load(), r.Begun(s.node(0)))
		}
	})
}
