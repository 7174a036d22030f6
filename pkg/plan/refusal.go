package plan

import (
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Refusal says that no safe plan exists, with every reason.
type Refusal struct{ Reasons []Reason }

// Reason names what would be broken, where, and what would make the plan possible.
type Reason struct {
	Invariant string     `json:"invariant"`
	Place     model.Path `json:"place"`
	Text      string     `json:"text"`
	Remedy    string     `json:"remedy"`
}

// Error gives one line per reason.
func (r *Refusal) Error() string {
	lines := make([]string, len(r.Reasons))
	for i, x := range r.Reasons {
		at := string(x.Place)
		if at == "" {
			at = "the cloud"
		}
		lines[i] = "no safe plan: " + at + ": " + x.Text + " (" + x.Invariant + "); " + x.Remedy
	}
	return strings.Join(lines, "\n")
}
