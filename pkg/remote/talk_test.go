package remote

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// parrot answers each line with its process id and the line; some words make it do something else.
func parrot() Command {
	return Command{Argv: []string{"sh", "-c", `while read -r line; do
case $line in
end) exit 0 ;;
fail) echo "no such thing" >&2; exit 69 ;;
hang) exec sleep 3600 ;;
once) echo "$$ $line"; exit 0 ;;
flood) yes | tr -d '\n' ;;
*) echo "$$ $line" ;;
esac
done`}}
}

func (k *talks) says(t *testing.T, line string) (pid, text string) {
	t.Helper()
	out, err := k.ask(t.Context(), Local{}, parrot(), []byte(line))
	if err != nil {
		t.Fatal(err)
	}
	pid, text, _ = strings.Cut(string(out), " ")
	return pid, text
}

func TestTalkKeepsTheProgram(t *testing.T) {
	var k talks
	t.Cleanup(k.close)
	first, text := k.says(t, "hello")
	if text != "hello" {
		t.Errorf("it said %q", text)
	}
	if again, _ := k.says(t, "once"); again != first {
		t.Errorf("the second question went to process %s, the first to %s", again, first)
	}
	// It has ended after that answer, which is noticed when it is asked, at the latest.
	if other, _ := k.says(t, "hello"); other == first {
		t.Error("a program that has ended answered")
	}
}

// TestTalkAtOnce: a question does not wait for the answer to another one, and only so many programs are kept.
func TestTalkAtOnce(t *testing.T) {
	var k talks
	t.Cleanup(k.close)
	key := strings.Join(parrot().Argv, "\x00")
	seen := map[string]bool{}
	var busy []*talk
	for range maxIdle + 1 {
		pid, _ := k.says(t, "hello")
		seen[pid] = true
		busy = append(busy, k.take(key)) // as while it answers
	}
	if len(seen) != maxIdle+1 {
		t.Errorf("%d programs for %d questions at once", len(seen), maxIdle+1)
	}
	for _, p := range busy {
		k.keep(key, p)
	}
	if len(k.idle[key]) != maxIdle {
		t.Errorf("%d programs wait, want %d", len(k.idle[key]), maxIdle)
	}
	<-busy[maxIdle].done // there was no room for it
}

func TestTalkFails(t *testing.T) {
	var k talks
	t.Cleanup(k.close)
	for _, kept := range []bool{false, true} {
		if kept {
			k.says(t, "hello")
		}
		_, err := k.ask(t.Context(), Local{}, parrot(), []byte("fail"))
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 69 || !strings.Contains(err.Error(), "no such thing") {
			t.Errorf("waited before: %v: %v", kept, err)
		}
	}
	if _, err := k.ask(t.Context(), Local{}, parrot(), []byte("end")); !errors.Is(err, errSilent) {
		t.Errorf("it ends and says nothing: %v", err)
	}
	if _, err := k.ask(t.Context(), Local{}, parrot(), []byte("flood")); !errors.Is(err, ErrTooMuchOutput) {
		t.Errorf("a line without end: %v", err)
	}
	text := strings.Repeat("x", 1<<20)
	if _, got := k.says(t, text); got != text {
		t.Errorf("of a line of %d bytes came back %d", len(text), len(got))
	}
}

func TestTalkEndsWithItsQuestion(t *testing.T) {
	var k talks
	t.Cleanup(k.close)
	k.says(t, "hello")
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := k.ask(ctx, Local{}, parrot(), []byte("hang"))
		asked <- err
	}()
	cancel(why)
	if err := <-asked; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, text := k.says(t, "hello"); text != "hello" {
		t.Errorf("the next question gets %q", text)
	}
}
