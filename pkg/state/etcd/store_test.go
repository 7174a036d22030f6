package etcd_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/etcd/etcdtest"
	"github.com/nuboctl/nuboctl/pkg/state/statetest"
)

// started is shared by all tests that do it no harm; it is started by the first that needs it.
var (
	started *etcdtest.Cluster
	start   sync.Once
)

func cluster() *etcdtest.Cluster {
	start.Do(func() {
		dir, err := os.MkdirTemp("", "etcd")
		if err == nil {
			started, err = etcdtest.Start(dir, 3)
		}
		if err != nil {
			panic(err)
		}
	})
	return started
}

func TestMain(m *testing.M) {
	if name := os.Getenv("NUBO_TEST_HOLD"); name != "" {
		other := &etcdtest.Cluster{Dir: os.Getenv("NUBO_TEST_DIR"), Endpoints: strings.Split(os.Getenv("NUBO_TEST_ETCD"), ",")}
		cfg := other.Config(name)
		cfg.TTL = 3 * etcd.MinTTL // it has to write within it before it is stopped, on a busy machine too
		holdIn(cfg)
		return
	}
	code := m.Run()
	if started != nil {
		started.Stop()
		_ = os.RemoveAll(started.Dir)
	}
	os.Exit(code)
}

var states atomic.Int64

// fresh is the configuration of a state that is empty.
func fresh() etcd.Config { return cluster().Config(fmt.Sprint(states.Add(1))) }

type place struct{ etcd.Config }

func (p place) Open(t *testing.T) state.Store { return open(t, p.Config) }

func open(t *testing.T, cfg etcd.Config) *etcd.Store {
	t.Helper()
	var s *etcd.Store
	var err error
	until(t, "etcd to let us in", func() bool {
		s, err = etcd.Open(t.Context(), cfg)
		return !errors.Is(err, etcd.ErrUnreachable)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) statetest.Place { return place{fresh()} })
}
