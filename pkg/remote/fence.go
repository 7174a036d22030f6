package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ErrFenced: the host obeys a newer holder of the lease, and did nothing.
var ErrFenced = errors.New("host obeys a newer holder of the lease")

// ErrFenceBusy: a change of another holder is still under way on the host; it did nothing.
var ErrFenceBusy = errors.New("a change of another holder is still under way on the host")

// FenceFile is where a host keeps the newest epoch that it has obeyed: on its state partition, so it outlives slots. The agent's slot commands
// keep theirs in the same file.
const FenceFile = "/var/lib/nubo/epoch"

// Fenced is a host as the holder of a lease changes it. The lease's epoch goes with every command, file and tunnel, and the host refuses one that is
// older than the newest it has seen. Whoever comes with a newer one waits until changes under older ones have ended, and ends the connections
// through which older ones came, with all that is tunnelled through them.
type Fenced struct {
	Host
	// Epoch is the lease's; 0 is none, and then nothing is checked.
	Epoch int64
	// File is where the host keeps the newest epoch; empty: FenceFile.
	File string
}

// The exit statuses of fenceScript, beside a word on stderr.
const (
	fenceOld  = 177
	fenceBusy = 178
	fenceWord = "nubo-fence: "
)

// fenceScript runs "$3…" when "$1" is not older than the epoch in the file "$2". Commands under one epoch share a lock (flock(1)); a newer epoch is
// written under an exclusive one, so it waits for them. Converting a lock lets others in between, so the file is read again after every
// conversion. FILE.conn.PID names the sshd process of each connection, with its start time (proc(5), field 22) and its epoch.
const fenceScript = `epoch=$1 file=$2
shift 2
say() { echo "nubo-fence: $2" >&2; exit "$1"; }
field() { read -r stat <"/proc/$1/stat" || return 1; stat=${stat##*) }; shift; set -- "$1" $stat; eval "echo \${$(($1 - 1))}"; }
look() {
  seen=0
  if [ -e "$file" ]; then read -r seen <"$file" || :; fi
  case $seen in ''|*[!0-9]*) say 178 "$file holds no epoch: put a number there" ;; esac
}
lock() { flock "$1" -w 20 9 || say 178 "a change of another holder is still under way"; look; }
mkdir -p -- "${file%/*}"
exec 9>>"$file.lock"
lock -s
if [ "$seen" -lt "$epoch" ]; then
  lock -x
  if [ "$seen" -lt "$epoch" ]; then
    echo "$epoch" >"$file.new"
    sync -- "$file.new"
    mv -f -- "$file.new" "$file"
    sync -- "${file%/*}"
  fi
  lock -s
fi
[ "$seen" -eq "$epoch" ] || say 177 "epoch $epoch is older than $seen, which this host obeys"
own=$PPID
while [ "$own" -gt 1 ]; do
  read -r name <"/proc/$own/comm"
  case $name in sshd*) echo "$(field "$own" 22) $epoch" >"$file.conn.$own"; break ;; esac
  own=$(field "$own" 4)
done
for c in "$file".conn.*; do
  [ -e "$c" ] || continue
  pid=${c##*.}
  read -r started of <"$c" || continue
  if [ "$(field "$pid" 22 2>/dev/null)" != "$started" ]; then
    rm -f -- "$c"
  elif [ "${of:-0}" -lt "$epoch" ]; then
    kill -KILL "$pid" 2>/dev/null || :
    rm -f -- "$c"
  fi
done
"$@" 9>&-`

// fence is the words before a command's own that make the host check the epoch.
func (c Command) fence() []string {
	if c.Epoch == 0 {
		return nil
	}
	file := c.EpochFile
	if file == "" {
		file = FenceFile
	}
	return []string{"sh", "-euc", fenceScript, "fence", fmt.Sprint(c.Epoch), file}
}

// Run runs a command under the epoch.
func (f Fenced) Run(ctx context.Context, cmd Command) (Result, error) {
	cmd.Epoch, cmd.EpochFile = f.Epoch, f.File
	res, err := f.Host.Run(ctx, cmd)
	return res, f.explain(cmd, err)
}

// explain tells a refusal from a command's own failure.
func (f Fenced) explain(cmd Command, err error) error {
	var exit *ExitError
	if f.Epoch == 0 || !errors.As(err, &exit) || !strings.Contains(exit.Stderr, fenceWord) {
		return err
	}
	why, remedy := ErrFenced, "somebody else has the lease now: stop, and look at nuboctl status"
	switch exit.Code {
	case fenceOld:
	case fenceBusy:
		why, remedy = ErrFenceBusy, "look what runs there, and run the command again"
	default:
		return err
	}
	_, text, _ := strings.Cut(exit.Stderr, fenceWord)
	return &Error{Host: exit.Host, Op: "run " + cmd.String(), Remedy: remedy, Err: fmt.Errorf("%w: %s", why, text)}
}

// Write replaces a file under the epoch.
func (f Fenced) Write(ctx context.Context, file File) error {
	if f.Epoch == 0 {
		return f.Host.Write(ctx, file)
	}
	return writeFile(ctx, f, file)
}

// pinner is a host whose connection may change from call to call, and that can be held to one.
type pinner interface {
	Pin(ctx context.Context) (Host, error)
}

// Dial opens a tunnel under the epoch. What goes through it the host cannot check, so the connection that carries it is checked first, and is ended
// when a newer epoch comes.
func (f Fenced) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	h := f.Host
	if f.Epoch != 0 {
		if p, ok := h.(pinner); ok {
			var err error
			if h, err = p.Pin(ctx); err != nil {
				return nil, err
			}
		}
		if _, err := (Fenced{h, f.Epoch, f.File}).Run(ctx, Command{Argv: []string{"true"}}); err != nil {
			return nil, err
		}
	}
	return h.Dial(ctx, network, address)
}
