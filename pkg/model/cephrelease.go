package model

import (
	"slices"
	"strconv"
	"strings"
)

// cephReleases are the names of Ceph's major releases (doc/releases), from number firstCephRelease on.
var cephReleases = []string{"luminous", "mimic", "nautilus", "octopus", "pacific", "quincy", "reef", "squid", "tentacle"}

const firstCephRelease = 12

// CephRelease is the number of a major release of Ceph by its name; 0: it is not known.
func CephRelease(name string) int {
	if i := slices.Index(cephReleases, name); i >= 0 {
		return firstCephRelease + i
	}
	return 0
}

// CephReleaseName is the name of a major release of Ceph by its number; empty: it is not known.
func CephReleaseName(number int) string {
	if i := number - firstCephRelease; i >= 0 && i < len(cephReleases) {
		return cephReleases[i]
	}
	return ""
}

// CephMajor is the major release of a daemon by the version that it tells ("18.2.7"); 0: it tells none.
func CephMajor(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
