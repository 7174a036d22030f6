package bmc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stmcginnis/gofish"
)

// get reads a resource and returns its ETag.
func get(api *gofish.APIClient, path string, into any) (etag string, err error) {
	response, err := api.Get(path)
	if err != nil {
		return "", answerTo(http.MethodGet, path, err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("the BMC's answer to GET %s: %w", path, err)
	}
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, mark))
	var other *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, into); err != nil && !(errors.As(err, &other) && raw[0] == '{') { // a property of another type counts as not told
		return "", &nonsense{path: path, page: bytes.HasPrefix(raw, []byte("<")), cut: len(raw) == 0 || strings.Contains(err.Error(), "unexpected end"), err: err}
	}
	return response.Header.Get("ETag"), nil
}

// mark is what some writers of text begin with, and JSON does not allow (RFC 8259, 8.1: a reader may skip it).
var mark = []byte("\xef\xbb\xbf")

// mostPages bounds a collection: more pages than any BMC has resources.
const mostPages = 200

// members lists a collection, all pages of it.
func members(api *gofish.APIClient, path string) (links, error) {
	var all links
	for page := 0; path != ""; page++ {
		if page == mostPages {
			return nil, fault(ErrUnsupported, "the collection does not end after %d pages, the last at %s", page, path)
		}
		var view struct {
			Members links
			Next    link `json:"Members@odata.nextLink"`
		}
		if _, err := get(api, path, &view); err != nil {
			return nil, err
		}
		all, path = append(all, view.Members...), string(view.Next)
	}
	return all, nil
}

// patch changes a resource, and returns what watches the change where the BMC goes on with it after its answer. Some BMCs insist on If-Match and others refuse
// it: it is sent only when it was asked for, first with the ETag as it was told, then without the mark of a weak one, which must not match by RFC 9110 and
// is what some BMCs give and want, then with any.
func patch(api *gofish.APIClient, path string, change any) (*task, error) {
	response, err := api.Patch(path, change)
	if err = answerTo(http.MethodPatch, path, err); wantsMatch(err) {
		var current struct {
			ETag word `json:"@odata.etag"`
		}
		etag, readErr := get(api, path, &current)
		if readErr != nil {
			return nil, errors.Join(err, readErr)
		}
		if etag == "" {
			etag = string(current.ETag)
		}
		for _, match := range matches(etag) {
			response, err = api.PatchWithHeaders(path, change, map[string]string{"If-Match": match})
			if err = answerTo(http.MethodPatch, path, err); !wantsMatch(err) {
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return taskOf(response)
}

// wantsMatch tells whether a refusal asks for If-Match: 428 (RFC 6585), or 412, or 400 with the message of that name.
func wantsMatch(err error) bool {
	switch statusOf(err) {
	case http.StatusPreconditionRequired, http.StatusPreconditionFailed:
		return true
	case http.StatusBadRequest:
		return strings.Contains(describe(err), "PreconditionRequired")
	}
	return false
}

func matches(etag string) []string {
	strong := strings.TrimPrefix(etag, "W/")
	switch {
	case etag == "":
		return []string{"*"}
	case strong != etag:
		return []string{etag, strong, "*"}
	}
	return []string{etag, "*"}
}

// post calls an action.
func post(api *gofish.APIClient, path string, args any) (*task, error) {
	response, err := api.Post(path, args)
	if err != nil {
		return nil, answerTo(http.MethodPost, path, err)
	}
	return taskOf(response)
}

// task is what a BMC has answered to a write, and the work that it goes on with after it has answered 202 (DSP0266, asynchronous operations). monitor answers 202 while it goes on, and then as the
// request itself would have; resource is the Task, where it is told.
type task struct {
	what              string // the write
	done              bool
	monitor, resource string
	state             taskView
	said              messages // what is not that all went well
}

// taskView is what is read of a Task.
type taskView struct {
	Path     link `json:"@odata.id"`
	Type     word `json:"@odata.type"`
	State    word `json:"TaskState"`
	Monitor  link `json:"TaskMonitor"`
	Messages messages
}

// taskOf reads the answer to a write.
func taskOf(response *http.Response) (*task, error) {
	defer response.Body.Close()
	t := &task{what: response.Request.Method + " " + response.Request.URL.Path, done: response.StatusCode != http.StatusAccepted}
	raw, err := io.ReadAll(response.Body)
	if t.done { // what it says besides is told when it is not what reads back
		t.said = messagesIn(raw, deepest).bad()
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	t.monitor = placeOf(response)
	_ = json.Unmarshal(raw, &t.state) // an answer without a Task has its monitor in the header
	if t.state.State != "" {
		t.resource = string(t.state.Path)
	}
	if t.monitor == "" {
		t.monitor = string(t.state.Monitor)
	}
	return t, nil
}

// placeOf is the Location of an answer as a path on this BMC. It may be relative to what was asked (RFC 9110, 10.2.2).
func placeOf(response *http.Response) string {
	place := response.Header.Get("Location")
	if at, err := response.Location(); err == nil && place != "" {
		place = at.String()
	}
	return localPath(place)
}

// taskTime is how long a task is followed. What takes longer is judged by what reads back.
const taskTime = 40 * time.Second

// await follows a task until it is done, waits for something else (a restart, for one), or the time is up. Its error says that the BMC did not do it.
func (d *redfishDriver) await(ctx context.Context, api *gofish.APIClient, t *task) error {
	d.said.Store(new(t.said.String()))
	if t.done {
		return nil
	}
	_, err := settled(ctx, taskTime, func() (bool, error) { return t.over(api) })
	return err
}

// over looks once.
func (t *task) over(api *gofish.APIClient) (bool, error) {
	switch {
	case t.resource != "":
		path := t.resource
		t.state = taskView{}
		if _, err := get(api, path, &t.state); err != nil {
			return t.gone(err)
		}
	case t.monitor != "":
		response, err := api.Get(t.monitor)
		if err != nil {
			return t.gone(answerTo(http.MethodGet, t.monitor, err))
		}
		next, err := taskOf(response)
		if err != nil || next.done {
			return true, err
		}
		t.state = next.state
	default:
		return true, nil
	}
	switch t.state.State {
	case "Exception", "Killed", "Cancelled":
		return true, fault(ErrUnsupported, "%s: the BMC's task ended as %s: %s", t.what, t.state.State, t.state.said())
	case "New", "Starting", "Running", "Stopping", "Cancelling", "":
		return false, nil
	}
	return true, nil
}

// gone is for a task that cannot be read any more: many BMCs forget one as soon as it has ended. What reads back decides.
func (t *task) gone(err error) (bool, error) {
	switch status := statusOf(err); {
	case status == http.StatusNotFound, status == http.StatusGone, status == http.StatusUnauthorized, status == http.StatusForbidden:
		return true, nil
	case status == 0:
		return false, redfishFault(err)
	case status >= 500, status == http.StatusTooManyRequests:
		return false, redfishFault(err)
	}
	return true, fault(ErrUnsupported, "%s: the BMC's task failed: %s", t.what, describe(err))
}

func (v taskView) said() string {
	return cmp.Or(v.Messages.String(), "it gave no reason")
}
