// Package inventory reads the written description of a cloud (HCL) into model.Desired.
//
// Reading goes one way: files are parsed; every block is checked once against the grammar (grammar.go) and every reference against
// what exists (shape.go); for_each is expanded and attributes are evaluated (expand.go); objects become the model (build*.go); the model
// is checked as a whole (check*.go). Mistakes are collected, never stopped at, and each carries its range and a remedy.
//
// The package reads the files of the inventory and nothing else: no network, no clock, no environment that it was not given.
package inventory
