package image

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// account is one line of passwd(5).
type account struct {
	name     string
	uid, gid int
	line     string
}

func parsePasswd(line string) (account, error) {
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] == "" {
		return account{}, fmt.Errorf("%q is not a line of passwd(5)", line)
	}
	uid, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user id in %q: %w", line, err)
	}
	gid, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("group id in %q: %w", line, err)
	}
	return account{f[0], int(uid), int(gid), line}, nil
}

// accountLines are what is added to /etc/passwd and /etc/group before any package makes its accounts. The password field is *: nobody
// logs in with these.
func accountLines(d Definition) (passwd, group string) {
	for _, name := range slices.Sorted(maps.Keys(d.Users)) {
		passwd += name + ":*:" + d.Users[name] + "\n"
	}
	for _, name := range slices.Sorted(maps.Keys(d.Groups)) {
		group += name + ":*:" + strconv.Itoa(d.Groups[name]) + ":\n"
	}
	return passwd, group
}

// static reports whether an id is one that Debian's policy (9.2.2) gives out once and for all, in base-passwd.
func static(id int) bool { return id < 100 || id == 65534 }

// checkAccounts compares what packages made of /etc/passwd, /etc/group and /etc/shadow with the definition: no account may have a
// number that came by chance, and root may have no password.
func checkAccounts(d Definition, passwd, group, shadow string) error {
	var errs []error
	for line := range strings.Lines(passwd) {
		a, err := parsePasswd(strings.TrimSpace(line))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		want, pinned := d.Users[a.name]
		uid, _, _ := strings.Cut(want, ":")
		if !static(a.uid) && (!pinned || uid != strconv.Itoa(a.uid)) {
			errs = append(errs, fmt.Errorf("user %s has number %d by chance: add it to users in the definition of image %s", a.name, a.uid, d.Name))
		}
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 4 {
			errs = append(errs, fmt.Errorf("%q is not a line of group(5)", line))
			continue
		}
		gid, err := strconv.Atoi(f[2])
		want, pinned := d.Groups[f[0]]
		if err != nil || !static(gid) && gid != 100 && (!pinned || want != gid) {
			errs = append(errs, fmt.Errorf("group %s has number %s by chance: add it to groups in the definition of image %s", f[0], f[2], d.Name))
		}
	}
	if !strings.HasPrefix(shadow, "root:*:") && !strings.HasPrefix(shadow, "root:!") {
		errs = append(errs, errors.New("root is not locked in /etc/shadow"))
	}
	return errors.Join(errs...)
}
