package planner

import "github.com/nuboctl/nuboctl/pkg/plan"

// Refusal says that no safe plan exists, with every reason.
type Refusal = plan.Refusal

// Reason names what would be broken, where, and what would make the plan possible.
type Reason = plan.Reason

// InvariantNoLoss is the rule that data is not overwritten without the goal that says so.
const InvariantNoLoss = "nothing installed is overwritten unasked"
