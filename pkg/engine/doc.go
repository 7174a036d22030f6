// Package engine executes plans and decides nothing: stages in their order, the ops of a stage as the graph of their needs, as many at once
// as limits allow, each op between an intent and an outcome in the journal. What it finds in the journal without an outcome it probes
// before anything else is tried. A failure stops its target and what needs it; the rest of the stage goes on, later stages do not begin.
//
// Gates between stages have their place in run.stages, behind a finished stage.
package engine
