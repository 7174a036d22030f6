package bmc

import (
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
		return "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return "", fmt.Errorf("the BMC's answer to GET %s makes no sense: %w", path, err)
	}
	return response.Header.Get("ETag"), nil
}

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
	if wantsMatch(err) {
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
			if statusOf(err) != http.StatusPreconditionFailed {
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
		return nil, err
	}
	return taskOf(response)
}

// task is work that a BMC goes on with after it has answered 202 (DSP0266, asynchronous operations). monitor answers 202 while it goes on, and then as the
// request itself would have; resource is the Task, where it is told.
type task struct {
	monitor, resource string
	state             taskView
}

// taskView is what is read of a Task.
type taskView struct {
	Path     link `json:"@odata.id"`
	Type     word `json:"@odata.type"`
	State    word `json:"TaskState"`
	Monitor  link `json:"TaskMonitor"`
	Messages []struct {
		ID      word `json:"MessageId"`
		Message word
	}
}

// taskOf reads an accepted answer; nil when the work is done with it.
func taskOf(response *http.Response) (*task, error) {
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		return nil, nil
	}
	t := &task{monitor: localPath(response.Header.Get("Location"))}
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	_ = json.Unmarshal(raw, &t.state) // an answer without a Task has its monitor in the header
	if t.state.State != "" {
		t.resource = string(t.state.Path)
	}
	if t.monitor == "" {
		t.monitor = string(t.state.Monitor)
	}
	return t, nil
}

// taskTime is how long a task is followed. What takes longer is judged by what reads back.
const taskTime = 40 * time.Second

// await follows a task until it is done, waits for something else (a restart, for one), or the time is up. Its error says that the BMC did not do it.
func (d *redfishDriver) await(ctx context.Context, api *gofish.APIClient, t *task) error {
	if t == nil {
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
			return gone(err)
		}
	case t.monitor != "":
		response, err := api.Get(t.monitor)
		if err != nil {
			return gone(err)
		}
		next, err := taskOf(response)
		if err != nil || next == nil {
			return true, err
		}
		t.state = next.state
	default:
		return true, nil
	}
	switch t.state.State {
	case "Exception", "Killed", "Cancelled":
		return true, fault(ErrUnsupported, "the BMC's task ended as %s: %s", t.state.State, t.state.said())
	case "New", "Starting", "Running", "Stopping", "Cancelling", "":
		return false, nil
	}
	return true, nil
}

// gone is for a task that cannot be read any more: many BMCs forget one as soon as it has ended. What reads back decides.
func gone(err error) (bool, error) {
	switch status := statusOf(err); {
	case status == http.StatusNotFound, status == http.StatusGone, status == http.StatusUnauthorized, status == http.StatusForbidden:
		return true, nil
	case status == 0:
		return false, redfishFault(err)
	case status >= 500, status == http.StatusTooManyRequests:
		return false, redfishFault(err)
	}
	return true, fault(ErrUnsupported, "the BMC's task failed: %s", describe(err))
}

func (v taskView) said() string {
	var parts []string
	for _, m := range v.Messages {
		parts = append(parts, strings.TrimSpace(string(m.ID+" "+m.Message)))
	}
	if len(parts) == 0 {
		return "it gave no reason"
	}
	return strings.Join(parts, "; ")
}
