package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// netnsDir is where ip(8) keeps the names of namespaces.
const netnsDir = "/run/netns"

// runIP runs one ip(8) command.
func runIP(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ip", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// namespaceExists tells whether a namespace of that name is there.
func namespaceExists(name string) bool {
	_, err := os.Stat(filepath.Join(netnsDir, name))
	return err == nil
}

// buildNetwork makes the rack's namespaces anew and removes the half of them on failure.
func buildNetwork(ctx context.Context, r *Rack) error {
	for _, args := range networkPlan(r) {
		if _, err := runIP(ctx, args...); err != nil {
			return errors.Join(err, removeNamespaces(context.WithoutCancel(ctx), r))
		}
	}
	return nil
}

// removeNamespaces removes every namespace of the rack, those of an older rack file included: they are known by the
// rack's prefix, which nothing else on the machine uses.
func removeNamespaces(ctx context.Context, r *Rack) error {
	var errs []error
	for _, name := range existingNamespaces(r) {
		_, err := runIP(ctx, "netns", "delete", name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// existingNamespaces lists what is there of the rack, by name.
func existingNamespaces(r *Rack) []string {
	entries, err := os.ReadDir(netnsDir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		station, ours := strings.CutPrefix(e.Name(), r.Namespace(""))
		if ours && !strings.Contains(station, "-") { // "nubo-a-" must not take "nubo-a-b-sw"
			names = append(names, e.Name())
		}
	}
	return names
}

// namespacePIDs lists the processes in the rack's namespaces, without ourselves and those we run under.
func namespacePIDs(ctx context.Context, r *Rack) ([]int, error) {
	var pids []int
	own := ancestors(os.Getpid())
	for _, name := range existingNamespaces(r) {
		out, err := runIP(ctx, "netns", "pids", name)
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(out) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("ip netns pids %s: %w", name, err)
			}
			if !slices.Contains(own, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// ancestors lists a process and all that it runs under.
func ancestors(pid int) []int {
	var chain []int
	for pid > 0 {
		chain = append(chain, pid)
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			break
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if len(fields) < 2 {
			break
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			break
		}
	}
	return chain
}
