package bmc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
)

// redfishDriver is our driver for bmclib's registry. gofish keeps the context it was connected
// with, so each operation connects anew, with the session that is there: one GET of the service
// root more, and the caller's deadline bounds each request. Calls come one at a time.
type redfishDriver struct {
	target  Target
	addr    Address
	http    *http.Client
	log     *slog.Logger
	session *gofish.Session
	// basic is true where the service has no sessions.
	basic bool
	// system is the path of the ComputerSystem, once it is found.
	system string
	last   error
}

var (
	_ provider.Opener                   = (*redfishDriver)(nil)
	_ provider.Closer                   = (*redfishDriver)(nil)
	_ provider.PowerStateGetter         = (*redfishDriver)(nil)
	_ provider.PowerSetter              = (*redfishDriver)(nil)
	_ provider.BootDeviceSetter         = (*redfishDriver)(nil)
	_ provider.BootDeviceOverrideGetter = (*redfishDriver)(nil)
	_ provider.InventoryGetter          = (*redfishDriver)(nil)
	_ provider.BiosConfigurationGetter  = (*redfishDriver)(nil)
	_ provider.BiosConfigurationSetter  = (*redfishDriver)(nil)
	_ provider.VirtualMediaSetter       = (*redfishDriver)(nil)
)

func newRedfishDriver(t Target, a Address) (*redfishDriver, error) {
	config, err := t.Trust.config(a)
	if err != nil {
		return nil, err
	}
	return &redfishDriver{target: t, addr: a, http: httpClient(a, config), log: t.logger(), system: a.System}, nil
}

// Name tells bmclib who we are.
func (d *redfishDriver) Name() string { return string(Redfish) }

func (d *redfishDriver) lastFault() error { return d.last }

// Open logs in and finds the system. It leaves no session behind when it fails.
func (d *redfishDriver) Open(ctx context.Context) error {
	if d.session != nil || d.basic {
		return nil
	}
	if err := d.login(ctx); err != nil {
		return err
	}
	if err := d.do(ctx, d.find); err != nil {
		return errors.Join(err, d.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

// login reads the service root, which proves the certificate, and then makes a session.
func (d *redfishDriver) login(ctx context.Context) error {
	api, err := gofish.ConnectContext(ctx, gofish.ClientConfig{Endpoint: d.addr.Endpoint(), HTTPClient: d.http})
	if err != nil {
		return redfishFault(err)
	}
	auth, err := api.Service.CreateSession(d.target.Credentials.User, d.target.Credentials.Password)
	switch status := statusOf(err); {
	case err == nil && auth.Token != "":
		d.session = &gofish.Session{ID: auth.Session, Token: auth.Token}
		return nil
	case err == nil:
		return fault(ErrUnsupported, "the BMC made a session and gave no token for it")
	case status == 0 && strings.Contains(err.Error(), "no target provided"),
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		d.log.Warn("BMC: it has no sessions, the password goes with each request", "address", d.addr.String())
		d.basic = true
		return nil
	case status == http.StatusBadRequest && sessionsExhausted(err):
		return fault(ErrBusy, "%s", describe(err))
	}
	return redfishFault(err)
}

// sessionsExhausted recognises BMCs that answer 400 when no session is free.
func sessionsExhausted(err error) bool {
	text := strings.ToLower(describe(err))
	return strings.Contains(text, "session") && (strings.Contains(text, "limit") || strings.Contains(text, "maximum"))
}

// Close ends the session.
func (d *redfishDriver) Close(ctx context.Context) error {
	defer d.http.CloseIdleConnections()
	d.basic = false
	if d.session == nil {
		return nil
	}
	api, err := d.connect(ctx)
	if err == nil {
		err = api.Service.DeleteSession(d.session.ID)
	}
	// A session that is gone already is as good as ended.
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusUnauthorized {
		err = nil
	}
	if err != nil {
		return redfishFault(err).advise("end the session on the BMC by hand, or let it time out")
	}
	d.session = nil
	return nil
}

func (d *redfishDriver) connect(ctx context.Context) (*gofish.APIClient, error) {
	config := gofish.ClientConfig{Endpoint: d.addr.Endpoint(), HTTPClient: d.http, Session: d.session}
	if d.basic {
		config.BasicAuth, config.Username, config.Password = true, d.target.Credentials.User, d.target.Credentials.Password
	}
	return gofish.ConnectContext(ctx, config)
}

// do runs an exchange with the session, and once more with a new one when it had expired: a
// request that was answered with 401 was not executed.
func (d *redfishDriver) do(ctx context.Context, exchange func(*gofish.APIClient) error) error {
	d.last = nil
	err := d.once(ctx, exchange)
	if err != nil && statusOf(err) == http.StatusUnauthorized && d.session != nil {
		d.log.Info("BMC: the session has expired, logging in again", "address", d.addr.String())
		d.session = nil
		if err = d.login(ctx); err == nil {
			err = d.once(ctx, exchange)
		}
	}
	var known *Error
	if err != nil && !errors.As(err, &known) {
		err = redfishFault(err)
	}
	d.last = err
	return err
}

func (d *redfishDriver) once(ctx context.Context, exchange func(*gofish.APIClient) error) error {
	api, err := d.connect(ctx)
	if err != nil {
		return err
	}
	return exchange(api)
}

// find learns the path of the system when the address does not name it.
func (d *redfishDriver) find(api *gofish.APIClient) error {
	if d.system != "" {
		_, err := get(api, d.system, &struct{}{})
		if statusOf(err) == http.StatusNotFound {
			return fault(ErrInvalid, "the BMC has no system %s", d.system).advise("list the BMC's systems, and correct the path in the address")
		}
		return err
	}
	var list struct{ Members common.Links }
	if _, err := get(api, "/redfish/v1/Systems", &list); err != nil {
		return err
	}
	if len(list.Members) != 1 {
		return fault(ErrInvalid, "the BMC has %d systems, %v, and the address names none", len(list.Members), list.Members).
			advise("add the path of the machine's system to the address")
	}
	d.system = list.Members[0].String()
	return nil
}

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

// patch changes a resource. Some BMCs insist on If-Match and others refuse it: it is sent only
// when it was asked for (RFC 6585: 428; some say 412).
func patch(api *gofish.APIClient, path string, change any) error {
	response, err := api.Patch(path, change)
	if status := statusOf(err); status == http.StatusPreconditionRequired || status == http.StatusPreconditionFailed {
		var current struct {
			ETag string `json:"@odata.etag"`
		}
		etag, readErr := get(api, path, &current)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		if etag == "" {
			etag = current.ETag
		}
		response, err = api.PatchWithHeaders(path, change, map[string]string{"If-Match": etag})
	}
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// statusOf is the HTTP status of a refusal; zero when the error is none.
func statusOf(err error) int {
	var refused *common.Error
	if errors.As(err, &refused) {
		return refused.HTTPReturnedStatusCode
	}
	return 0
}

// describe is a refusal in one line: what the BMC says, without its JSON.
func describe(err error) string {
	var refused *common.Error
	if !errors.As(err, &refused) {
		return err.Error()
	}
	parts := []string{fmt.Sprintf("HTTP %d", refused.HTTPReturnedStatusCode)}
	for _, info := range refused.ExtendedInfos {
		parts = append(parts, strings.TrimSpace(info.MessageID+" "+info.Message))
	}
	if len(refused.ExtendedInfos) == 0 && refused.Message != "" {
		parts = append(parts, refused.Message)
	}
	return strings.Join(parts, ": ")
}

// redfishFault gives an error of gofish, net/http or TLS its kind.
func redfishFault(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if e := distrust(err); e != nil {
		return e
	}
	switch status := statusOf(err); {
	case status == 0:
		return &Error{Kind: ErrUnreachable, Cause: err, Remedy: remedies[ErrUnreachable]}
	case status == http.StatusUnauthorized:
		return fault(ErrAuth, "%s", describe(err))
	case status == http.StatusForbidden:
		return fault(ErrAuth, "%s", describe(err)).advise("give the account a role that may do this, or use another account")
	case status == http.StatusTooManyRequests, status >= 500 && status != http.StatusNotImplemented:
		return fault(ErrBusy, "%s", describe(err))
	default:
		return fault(ErrUnsupported, "%s", describe(err))
	}
}
