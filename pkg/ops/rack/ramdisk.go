package rack

import (
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// ramdisk asks the relay for its boot and installs, one step after the other.
func (f *Rack) ramdisk(b *blade) {
	if b.rec.Phase == order.PhaseArmed {
		b.rec.Phase, b.rec.Updated = order.PhaseBooted, f.clock.Now()
	}
	f.news(b)
	b.bootID = fmt.Sprintf("boot-%d", b.life)
	f.after(b, stepTime, func() {
		f.report(b, order.Report{Kind: order.ReportFacts, Facts: &order.Facts{Serial: b.node.Serial, Disks: []model.Disk{{Serial: "root-01"}}}})
		f.after(b, stepTime, func() { f.write(b) })
	})
}

// write asks whether the disk may be written, and writes it.
func (f *Rack) write(b *blade) {
	if b.fault == Refused {
		f.report(b, order.Report{Kind: order.ReportRefused, Problem: &order.Problem{
			Phase: "verify", Tried: "choose the root disk", Got: "no disk matches serial=root-*", Remedy: "correct root_device", Log: []string{"no disk", "refused"}}})
		return
	}
	rec, err := b.rec.Grant(order.Consume{Nonce: b.rec.Order.Nonce, Serial: b.node.Serial, Boot: b.bootID, DiskNonce: b.disk}, f.clock.Now())
	if err != nil {
		f.report(b, order.Report{Kind: order.ReportRefused, Problem: &order.Problem{Tried: "be granted the first write", Got: err.Error()}})
		return
	}
	again := b.disk == rec.Order.Nonce
	*b.rec, b.disk, b.installed = rec, rec.Order.Nonce, order.Installed{}
	b.ovs, b.libvirt, b.disks, b.move, b.files = nil, "", "", "", ""
	b.idle, b.def, b.once = slot{}, slot{}, false // the other slot is emptied
	b.begun++
	if f.Written != nil {
		f.Written(b.node.Path, again)
	}
	f.news(b)
	fault := b.fault
	if f.Installer != nil && fault == Sound {
		fault = f.Installer(b.node.Path)
	}
	switch fault {
	case Silent:
		return
	case Failed:
		f.report(b, order.Report{Kind: order.ReportFailed, Problem: &order.Problem{
			Phase: "image", Tried: "fetch the image", Target: "/dev/vda", Got: "chunk has a wrong digest", Remedy: "build the image again", Log: []string{"chunk 3"}}})
		return
	}
	f.after(b, stepTime, func() {
		f.report(b, order.Report{Kind: order.ReportProgress, Progress: &order.Progress{Phase: "image", Done: 1 << 20, Total: 2 << 20}})
		f.after(b, stepTime, func() { f.finish(b) })
	})
}

// layDown has a machine installed by its order without anybody being told.
func (f *Rack) layDown(b *blade) {
	o := b.rec.Order
	b.installed = order.Installed{Nonce: o.Nonce, Slot: "a", Image: o.Image.Digest, Config: b.node.Config}
	b.disk, b.known = o.Nonce, o.Nonce
}

// finish reports the host's keys and reboots into it.
func (f *Rack) finish(b *blade) {
	o := b.rec.Order
	b.installed = order.Installed{Nonce: o.Nonce, Slot: "a", Image: o.Image.Digest, Config: b.node.Config, RootDisk: model.Disk{Serial: "root-01"},
		HostKeys: []string{"ssh-ed25519 AAAA" + o.Nonce}, Attempt: b.rec.Attempts}
	result := b.installed
	f.report(b, order.Report{Kind: order.ReportInstalled, Installed: &result})
	if b.fault == HungFirst {
		b.life++
		return
	}
	f.start(b)
}

// report posts to the relay; what it refuses to hear is lost.
func (f *Rack) report(b *blade, r order.Report) {
	r.FormatVersion, r.Order, r.Boot, r.Time = order.FormatVersion, b.rec.Order.ID, b.bootID, f.clock.Now()
	if rec, err := b.rec.Report(r, f.clock.Now()); err == nil {
		*b.rec = rec
	}
	f.news(b)
}
