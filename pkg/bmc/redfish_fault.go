package bmc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish/common"
)

// asking is a refusal with the request that it answers, which gofish does not tell.
type asking struct {
	what string
	err  error
}

func (a *asking) Error() string { return describe(a) }
func (a *asking) Unwrap() error { return a.err }

// answerTo adds the request to a refusal; other errors name their request, and nil stays nil.
func answerTo(method, path string, err error) error {
	if statusOf(err) == 0 {
		return err
	}
	return &asking{what: method + " " + path, err: err}
}

// statusOf is the HTTP status of a refusal; zero when the error is none.
func statusOf(err error) int {
	var refused *common.Error
	if errors.As(err, &refused) {
		return refused.HTTPReturnedStatusCode
	}
	return 0
}

// describe is a refusal in one line: what was asked, and what the BMC says, without its JSON.
func describe(err error) string {
	var refused *common.Error
	if !errors.As(err, &refused) {
		return err.Error()
	}
	parts := []string{fmt.Sprintf("HTTP %d", refused.HTTPReturnedStatusCode)}
	var request *asking
	if errors.As(err, &request) {
		parts = []string{request.what, parts[0]}
	}
	if words := wordsOf(refused); words != "" {
		parts = append(parts, words)
	}
	return strings.Join(parts, ": ")
}

// wordsOf is what a refusal says. Where gofish could not read it, its message is the whole answer.
func wordsOf(refused *common.Error) string {
	var list messages
	for _, info := range refused.ExtendedInfos {
		list = append(list, message{ID: word(info.MessageID), Message: word(info.Message)})
	}
	if text := list.String(); text != "" && list.inWords() {
		return text
	} else if text != "" { // a key of a registry alone says less than what stands beside it
		return strings.TrimSpace(text + " " + refused.Message)
	}
	text := strings.TrimSpace(refused.Code + " " + refused.Message)
	if strings.HasPrefix(text, "<") {
		return "a web page"
	}
	if said := messagesIn([]byte(refused.Message), deepest).String(); said != "" {
		return said
	}
	return text
}

// message is one of a message registry (Message schema).
type message struct {
	ID      word `json:"MessageId"`
	Message word
}

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (m *message) UnmarshalJSON(raw []byte) error {
	type plain message
	*m = message{}
	if json.Unmarshal(raw, (*plain)(m)) != nil {
		_ = m.Message.UnmarshalJSON(raw)
	}
	return nil
}

// messages is a list of them; one alone, as iDRACs have it, is a list of one.
type messages []message

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (l *messages) UnmarshalJSON(raw []byte) error {
	var list []message
	if json.Unmarshal(raw, &list) != nil {
		list = make([]message, 1)
		_ = list[0].UnmarshalJSON(raw)
	}
	*l = list
	return nil
}

// String is what they say, in one line.
func (l messages) String() string {
	var parts []string
	for _, m := range l {
		if text := strings.TrimSpace(string(m.ID + " " + m.Message)); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ": ")
}

// inWords tells whether one of them has a text.
func (l messages) inWords() bool {
	return slices.ContainsFunc(l, func(m message) bool { return m.Message != "" })
}

// bad are the messages that do not say that all went well.
func (l messages) bad() messages {
	return slices.DeleteFunc(slices.Clone(l), func(m message) bool {
		_, name, _ := cutLast(string(m.ID), ".")
		return name == "Success" || name == "Created" || name == "NoOperation" || name == "AccountModified"
	})
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+len(sep):], true
}

// deepest is how far down messagesIn looks: the answer and what is right in it.
const deepest = 2

// messagesIn collects the messages of an answer: of its error, of itself, and of single properties (DSP0266, extended information), and those of an old iLO.
func messagesIn(raw []byte, levels int) (list messages) {
	var body map[string]json.RawMessage
	if levels == 0 || json.Unmarshal(bytes.TrimPrefix(raw, mark), &body) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		switch value := body[name]; {
		case strings.HasSuffix(name, "@Message.ExtendedInfo"), name == "Messages":
			var found messages
			_ = found.UnmarshalJSON(value)
			list = append(list, found...)
		case name == "error" || name == "Boot":
			list = append(list, messagesIn(value, levels-1)...)
		}
	}
	return list
}

// notNow are parts of messages by which BMCs say that they would, later: while the machine starts, or while they start themselves.
var notNow = []string{"DuringSystemPOST", "in POST", "during POST", "InvalidOperationForSystemState", "ResourceInUse", "ResourceNotReady", "ServiceTemporarilyUnavailable", "ServiceShuttingDown",
	"ResourceInStandby", "BMCNotReady", "SYS518"}

const (
	passwordChange = "PasswordChangeRequired"
	changeRemedy   = "the BMC wants this account's password changed first: change it on the BMC, and then in the secrets"
)

// redfishFault gives an error of gofish, net/http or TLS its kind.
func redfishFault(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if e := distrust(err); e != nil {
		return e
	}
	status, said := statusOf(err), describe(err)
	refused := func(kind error) *Error {
		return &Error{Kind: kind, Cause: &refusal{said: said, err: err}, Remedy: remedies[kind]}
	}
	switch {
	case status == 0:
		return unreachable(err)
	case strings.Contains(said, passwordChange):
		return refused(ErrAuth).advise("%s", changeRemedy)
	case status == http.StatusUnauthorized, strings.Contains(said, "UnauthorizedLoginAttempt"): // iLO: with 400
		return refused(ErrAuth)
	case status == http.StatusForbidden:
		return refused(ErrAuth).advise("give the account a role that may do this, or use another account; some BMCs want a licence for Redfish")
	case status == http.StatusTooManyRequests, status == http.StatusLocked, status >= 500 && status != http.StatusNotImplemented,
		slices.ContainsFunc(notNow, func(part string) bool { return strings.Contains(said, part) }):
		return refused(ErrBusy)
	}
	return refused(ErrUnsupported)
}

// refusal is an HTTP error in one line that still tells its status.
type refusal struct {
	said string
	err  error
}

func (r *refusal) Error() string { return r.said }
func (r *refusal) Unwrap() error { return r.err }

// nonsense is the error of an answer that is no JSON object. One that is cut may come whole the next time.
type nonsense struct {
	path string
	page bool // a web page
	cut  bool
	err  error
}

func (n *nonsense) Error() string {
	if n.page {
		return fmt.Sprintf("the BMC's answer to GET %s is a web page", n.path)
	}
	return fmt.Sprintf("the BMC's answer to GET %s makes no sense: %v", n.path, n.err)
}

func (n *nonsense) Unwrap() error { return n.err }

// unreachable is the error of a request that was not answered, or not with HTTP.
func unreachable(err error) *Error {
	e := &Error{Kind: ErrUnreachable, Cause: err, Remedy: remedies[ErrUnreachable]}
	var away *astray
	if errors.As(err, &away) {
		return e.advise("the BMC redirects to another address: if that one is its own, put it into the inventory (redfish+https where it left plain HTTP)")
	}
	var odd *nonsense
	if errors.As(err, &odd) {
		return e.advise("if the BMC has just started, wait; if it stays so, look at the path in the address, and reset the BMC")
	}
	return e
}
