package hostfiles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// account is a line of /etc/passwd or /etc/group: passwd(5), group(5).
type account struct {
	id   int
	gid  int    // passwd only
	home string // passwd only
}

// owners are the names that the root itself knows.
type owners struct{ users, groups map[string]account }

func (a *Applier) readOwners() (owners, error) {
	users, err := a.table("etc/passwd", 7)
	if err != nil {
		return owners{}, err
	}
	groups, err := a.table("etc/group", 4)
	return owners{users, groups}, err
}

func (a *Applier) table(file string, fields int) (map[string]account, error) {
	b, err := a.root.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	table := map[string]account{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != fields {
			continue
		}
		id, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		acc := account{id: id}
		if fields == 7 {
			acc.gid, _ = strconv.Atoi(f[3])
			acc.home = f[5]
		}
		table[f[0]] = acc
	}
	return table, nil
}

// of is the numeric owner of a node: an id, a name that the root knows, or root.
func (o owners) of(n types.Node) (uid, gid int, err error) {
	uid, errU := resolve(n.User.ID, n.User.Name, o.users, "user")
	gid, errG := resolve(n.Group.ID, n.Group.Name, o.groups, "group")
	return uid, gid, errors.Join(errU, errG)
}

func resolve(id *int, name *string, table map[string]account, kind string) (int, error) {
	switch {
	case id != nil:
		return *id, nil
	case name == nil || *name == "" || *name == "root":
		return 0, nil
	}
	if acc, ok := table[*name]; ok {
		return acc.id, nil
	}
	return 0, fmt.Errorf("%s %q is not in the image: add it under passwd, or give its number", kind, *name)
}

// accounts makes groups and users with the image's own tools, then writes their keys.
func (a *Applier) accounts(ctx context.Context, p types.Passwd) error {
	have, err := a.readOwners()
	if err != nil {
		return err
	}
	for _, g := range p.Groups {
		if _, ok := have.groups[g.Name]; ok {
			continue
		}
		if _, err := a.Runner.Run(ctx, run.Chroot(a.path, groupadd(g)...)); err != nil {
			return fmt.Errorf("make group %s: %w", g.Name, err)
		}
	}
	for _, u := range p.Users {
		_, exists := have.users[u.Name]
		args := useradd(u, exists)
		if args == nil {
			continue
		}
		if _, err := a.Runner.Run(ctx, run.Chroot(a.path, args...)); err != nil {
			return fmt.Errorf("make user %s: %w", u.Name, err)
		}
	}
	if have, err = a.readOwners(); err != nil {
		return err
	}
	for _, u := range p.Users {
		if err := a.keys(u, have); err != nil {
			return fmt.Errorf("SSH keys of user %s: %w", u.Name, err)
		}
	}
	return nil
}

func groupadd(g types.PasswdGroup) []string {
	args := []string{"groupadd"}
	if g.Gid != nil {
		args = append(args, "--gid", strconv.Itoa(*g.Gid))
	}
	if g.System != nil && *g.System {
		args = append(args, "--system")
	}
	return append(args, g.Name)
}

// useradd gives the command that makes or changes a user, nil when there is nothing to change.
func useradd(u types.PasswdUser, exists bool) []string {
	var args []string
	option := func(name string, value *string) {
		if value != nil && *value != "" {
			args = append(args, name, *value)
		}
	}
	flag := func(name string, value *bool) {
		if value != nil && *value {
			args = append(args, name)
		}
	}
	option("--comment", u.Gecos)
	option("--shell", u.Shell)
	option("--gid", u.PrimaryGroup)
	if u.UID != nil {
		args = append(args, "--uid", strconv.Itoa(*u.UID))
	}
	if len(u.Groups) > 0 {
		args = append(args, "--groups", joinGroups(u.Groups))
	}
	if exists {
		if len(args) == 0 {
			return nil
		}
		if len(u.Groups) > 0 {
			args = append(args, "--append")
		}
		return append(append([]string{"usermod"}, args...), u.Name)
	}
	option("--home-dir", u.HomeDir)
	flag("--system", u.System)
	flag("--no-log-init", u.NoLogInit)
	flag("--no-user-group", u.NoUserGroup)
	if u.NoCreateHome == nil || !*u.NoCreateHome {
		args = append(args, "--create-home")
	}
	return append(append([]string{"useradd"}, args...), u.Name)
}

func joinGroups(groups []types.Group) string {
	var names []string
	for _, g := range groups {
		names = append(names, string(g))
	}
	return strings.Join(names, ",")
}

// keys writes ~/.ssh/authorized_keys, readable by its user alone: sshd(8), StrictModes.
func (a *Applier) keys(u types.PasswdUser, have owners) error {
	if len(u.SSHAuthorizedKeys) == 0 {
		return nil
	}
	acc, ok := have.users[u.Name]
	if !ok {
		return errors.New("the user was not made")
	}
	var lines []string
	for _, k := range u.SSHAuthorizedKeys {
		if line := strings.TrimSpace(string(k)); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	dir := path.Join(rel(acc.home), ".ssh")
	file := path.Join(dir, "authorized_keys")
	if err := a.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := a.root.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return errors.Join(a.root.Lchown(dir, acc.id, acc.gid), a.root.Lchown(file, acc.id, acc.gid),
		a.root.Chmod(dir, 0o700), a.root.Chmod(file, 0o600))
}
