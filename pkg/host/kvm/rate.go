package kvm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// How long writes to memory are watched, and how long the answer may take beyond that.
const (
	rateSeconds = 1
	ratePoll    = 200 * time.Millisecond
	rateWait    = 5 * time.Second
)

// ErrBusy says that libvirt is doing something with a domain, such as moving it.
var ErrBusy = errors.New("virtual machine is busy")

// Rates measures how fast domains that run write to their memory, MiB/s by name, all at once and within a few seconds
// (virDomainStartDirtyRateCalc; QEMU samples pages, the guests do not notice). The error joins the reasons why some are missing.
func (c *Conn) Rates(ctx context.Context, domains []Observed) (map[string]float64, error) {
	rates := map[string]float64{}
	var errs []error
	var asked []libvirt.Domain
	for _, d := range domains {
		id, err := parseUUID(d.UUID)
		if err != nil || d.State != Running {
			continue
		}
		dom := libvirt.Domain{Name: d.Name, UUID: id}
		// Libvirt would let the question wait for the end of a move, or of whatever else is done to the domain.
		if j, err := c.job(ctx, dom); err != nil || j.busy {
			errs = append(errs, fmt.Errorf("libvirt: measure how fast %s writes to its memory: something is being done to it: %w", d.Name, errors.Join(ErrBusy, err)))
			continue
		}
		err = c.call(ctx, "measure how fast "+d.Name+" writes to its memory", func() error { return c.lib.DomainStartDirtyRateCalc(dom, rateSeconds, 0) })
		if err != nil {
			errs = append(errs, err)
			continue
		}
		asked = append(asked, dom)
	}
	until := time.Now().Add(rateSeconds*time.Second + rateWait)
	for len(asked) > 0 {
		if err := pause(ctx, ratePoll); err != nil {
			return rates, err
		}
		var records []libvirt.DomainStatsRecord
		err := c.call(ctx, "read how fast memory is written", func() (err error) {
			records, err = c.lib.ConnectGetAllDomainStats(asked, uint32(libvirt.DomainStatsDirtyrate), 0)
			return err
		})
		if err != nil {
			return rates, errors.Join(append(errs, err)...)
		}
		asked = asked[:0]
		for _, r := range records { // one that is gone is not among them
			values := params(r.Params)
			if status, _ := values["dirtyrate.calc_status"].(int32); libvirt.DomainDirtyRateStatus(status) != libvirt.DomainDirtyrateMeasured {
				asked = append(asked, r.Dom)
			} else if rate, ok := values["dirtyrate.megabytes_per_second"].(int64); ok {
				rates[r.Dom.Name] = float64(rate)
			}
		}
		if len(asked) > 0 && time.Now().After(until) {
			errs = append(errs, fmt.Errorf("libvirt: measure how fast %s writes to its memory: no answer within %s", asked[0].Name, rateSeconds*time.Second+rateWait))
			break
		}
	}
	return rates, errors.Join(errs...)
}

// params gives typed parameters by name.
func params(list []libvirt.TypedParam) map[string]any {
	out := make(map[string]any, len(list))
	for _, p := range list {
		out[p.Field] = p.Value.I
	}
	return out
}

// pause waits, or returns the reason for which ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
