package app

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/metal3"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// ExportOptions are those of ExportMetal3.
type ExportOptions struct {
	Namespace string
	Targets   []string
}

// ExportMetal3 prints nodes as BareMetalHost objects. Where Metal3 would act otherwise than nuboctl, stderr says so.
func ExportMetal3(e Env, o ExportOptions) error {
	inv, err := e.load()
	if err != nil {
		return err
	}
	s := session{desired: inv.Desired}
	targets, err := s.targets(o.Targets)
	if err != nil {
		return err
	}
	nodes := slices.DeleteFunc(slices.Clone(targeted(inv.Desired.Nodes, targets)), func(n model.Node) bool { return n.Adopted }) // nobody lays those down
	x, err := metal3.Hosts(inv.Desired, nodes, o.Namespace)
	if err != nil {
		return err
	}
	for _, w := range x.Warnings {
		e.note("Warning: %s", w)
	}
	if e.JSON {
		list, err := x.List()
		if err != nil {
			return err
		}
		return view.JSON(e.Out, list)
	}
	text, err := x.YAML()
	if err != nil {
		return err
	}
	_, err = e.Out.Write(text)
	return err
}
