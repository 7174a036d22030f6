// Package ops holds what each kind of op does to the world. An op is data (package plan); here is, per kind, how its precondition is checked, how
// it is applied, how its postcondition is verified, and how a probe tells after a crash whether it took effect. The world is reached through the
// ports declared here, and only through them.
package ops

import (
	"context"
	"errors"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Machines opens management controllers.
type Machines interface {
	// Open reaches the node's BMC, proves who it is, logs in, and compares the machine's serial number with the node's.
	Open(ctx context.Context, n model.Node) (Machine, error)
}

// Machine is one machine behind its BMC. Every write is read back by the driver.
type Machine interface {
	Power(ctx context.Context) (model.Power, error)
	SetPower(ctx context.Context, want model.Power) error
	// BootOnce is facts.NetBoot while the next boot, and only that, is from the network, otherwise empty.
	BootOnce(ctx context.Context) (string, error)
	SetBootOnce(ctx context.Context) error
	Close(ctx context.Context) error
}

// Installs gives install orders and follows them.
type Installs interface {
	// Arm signs an order for the node and hands it to the relay of its network, with all it refers to.
	Arm(ctx context.Context, n model.Node, goal order.Goal, spec model.Digest, report func(text string, done, total int64)) error
	// Order is what is known of the node's last order; the zero value when there is none.
	Order(ctx context.Context, n model.Node) (model.ObservedOrder, error)
	// Watch returns the order's status once it is newer than version after, or after a while without news; the version goes into the next call.
	Watch(ctx context.Context, n model.Node, after int) (order.Status, int, error)
	// Keep stores what a finished install reported, host keys above all.
	Keep(ctx context.Context, n model.Node, result order.Installed) error
}

// Hosts are running hosts, reached over SSH with host keys that are known before.
type Hosts interface {
	// Observe reports an unreachable host in the value (Reachable, Error), not as an error, except when ctx ends.
	Observe(ctx context.Context, n model.Node) (model.ObservedHost, error)
	// EnsureBridges brings Open vSwitch to the bridges; a change that could cut the host off rolls back by itself unless it is confirmed.
	EnsureBridges(ctx context.Context, n model.Node) error
	// EnsureHypervisor makes libvirt ready to run machines.
	EnsureHypervisor(ctx context.Context, n model.Node) error
}

// VMs are virtual machines whose authority is libvirt.
type VMs interface {
	// Observe returns the zero value when the node has no such machine.
	Observe(ctx context.Context, vm model.VM) (model.ObservedVM, error)
	// Ensure defines the machine under the digest spec and starts it.
	Ensure(ctx context.Context, vm model.VM, spec model.Digest) error
}

// World is all that ops reach.
type World struct {
	Desired  model.Desired
	Machines Machines
	Installs Installs
	Hosts    Hosts
	VMs      VMs
}

// The ways in which an op fails that its caller tells apart.
var (
	// ErrUnverified says that an op was carried out and its effect cannot be seen.
	ErrUnverified = errors.New("the effect is not there")
	// ErrNotInInventory says that a plan names something that the inventory does not have.
	ErrNotInInventory = errors.New("not in the inventory")
)
