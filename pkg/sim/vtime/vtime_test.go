package vtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/sim/vtime"
)

func TestCoroutinesWaitInVirtualTime(t *testing.T) {
	v := vtime.New()
	var said []string
	for i, d := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
		v.Go(func() {
			if err := v.Sleep(t.Context(), d); err != nil {
				t.Error(err)
			}
			said = append(said, fmt.Sprint(i, " ", v.Since()))
		})
	}
	for range 3 {
		v.Wait(nil, nil)
	}
	if want := []string{"1 1h0m0s", "2 2h0m0s", "0 3h0m0s"}; !slices.Equal(said, want) {
		t.Errorf("%v, want %v", said, want)
	}
}

func TestAContextEndsASleep(t *testing.T) {
	v := vtime.New()
	ctx, cancel := context.WithCancelCause(t.Context())
	v.AfterFunc(time.Minute, func() { cancel(errors.New("late")) })
	stop := v.AfterFunc(time.Second, func() { t.Error("it was called off") })
	if !stop() || stop() {
		t.Error("stop does not tell whether it came in time")
	}
	var err error
	v.Go(func() { err = v.Sleep(ctx, time.Hour) })
	v.Wait(nil, nil)
	if !errors.Is(err, context.Canceled) || v.Since() != time.Minute {
		t.Errorf("it ended with %v after %s", err, v.Since())
	}
}

func TestOutsideOfCoroutinesTimePasses(t *testing.T) {
	v := vtime.New()
	seen := 0
	v.After(time.Minute, func() { seen++ })
	if err := v.Sleep(t.Context(), time.Hour); err != nil || seen != 1 || v.Since() != time.Hour {
		t.Errorf("%v, %d events, %s", err, seen, v.Since())
	}
	v.Until(2 * time.Hour)
	closed := make(chan struct{})
	close(closed)
	v.Wait(closed, nil) // returns although nothing ends
	v.Wait(nil, closed)
	if v.Since() != 2*time.Hour {
		t.Errorf("it is %s", v.Since())
	}
}
