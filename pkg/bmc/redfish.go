package bmc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

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
	guard   *guard // http's
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
	client, guard := httpClient(a, config)
	return &redfishDriver{target: t, addr: a, http: client, guard: guard, log: t.logger(), system: a.System}, nil
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

// rootPath is where every Redfish service begins (DSP0266).
const rootPath = "/redfish/v1/"

// rootView is what is read of a ServiceRoot.
type rootView struct {
	Systems, SessionService link
	Links                   struct{ Sessions link }
}

// sessions is where sessions are made; empty where the service has none.
func (v rootView) sessions() string {
	if v.Links.Sessions == "" && v.SessionService != "" {
		return strings.TrimRight(string(v.SessionService), "/") + "/Sessions"
	}
	return string(v.Links.Sessions)
}

// login reads the service root, which proves the certificate, and then makes a session.
func (d *redfishDriver) login(ctx context.Context) error {
	api, err := gofish.ConnectContext(ctx, gofish.ClientConfig{Endpoint: d.addr.Endpoint(), HTTPClient: d.http})
	if statusOf(err) == http.StatusUnauthorized {
		return d.withoutSession("it shows not even its root without a password")
	}
	if err != nil {
		return noService(err)
	}
	var root rootView
	if _, err := get(api, rootPath, &root); err != nil {
		return d.fault(err)
	}
	if root.sessions() == "" {
		return d.withoutSession("it has no sessions")
	}
	response, err := api.Post(root.sessions(), map[string]string{"UserName": d.target.Credentials.User, "Password": d.target.Credentials.Password})
	switch status := statusOf(err); {
	case err == nil:
		return d.begin(root.sessions(), response)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return d.withoutSession("it makes no sessions: " + describe(err))
	case status != 0 && status != http.StatusUnauthorized && sessionsExhausted(err):
		return d.fault(fault(ErrBusy, "no session is free: %s", describe(err)).
			advise("end other sessions on the BMC, which keeps few, or wait until they time out; resetting the BMC ends them all"))
	}
	return d.fault(err)
}

// withoutSession lets the password go with each request, over the connection that has proven its certificate.
func (d *redfishDriver) withoutSession(why string) error {
	d.log.Warn("BMC: the password goes with each request", "address", d.addr.String(), "why", why)
	d.basic = true
	d.guard.login.Store(&d.target.Credentials)
	return nil
}

// begin keeps the session that a login made. Where it is to be ended is told by a header, or, by some, only by the body.
func (d *redfishDriver) begin(collection string, response *http.Response) error {
	defer response.Body.Close()
	var made struct {
		Path link `json:"@odata.id"`
		ID   word `json:"Id"`
	}
	if raw, err := io.ReadAll(response.Body); err == nil {
		_ = json.Unmarshal(raw, &made) // a login may be answered without a body
	}
	path := localPath(response.Header.Get("Location"))
	if path == "" {
		path = string(made.Path)
	}
	if path == "" && made.ID != "" {
		path = strings.TrimRight(collection, "/") + "/" + string(made.ID)
	}
	token := response.Header.Get("X-Auth-Token")
	if token == "" {
		return d.withoutSession("it made a session and gave no token for it")
	}
	d.session = &gofish.Session{ID: path, Token: token}
	return nil
}

// noService is the error of a service root that cannot be read.
func noService(err error) *Error {
	var syntax *json.SyntaxError
	if statusOf(err) == http.StatusNotFound || errors.As(err, &syntax) {
		return fault(ErrUnsupported, "GET %s: %s", rootPath, describe(err)).
			advise("whoever answers there does not speak Redfish: check address and port; older BMCs need newer firmware or a licence for it, or speak IPMI (ipmi://HOST)")
	}
	return redfishFault(err)
}

// sessionsExhausted recognises refusals of BMCs that have no session free: with 503 by the book, with 400 and others in fact.
func sessionsExhausted(err error) bool {
	text := strings.ToLower(describe(err))
	return strings.Contains(text, "limit") || strings.Contains(text, "maximum") || strings.Contains(text, "too many")
}

// Close ends the session.
func (d *redfishDriver) Close(ctx context.Context) error {
	defer d.http.CloseIdleConnections()
	d.basic = false
	d.guard.login.Store(nil)
	if d.session == nil {
		return nil
	}
	if d.session.ID == "" {
		d.log.Warn("BMC: it did not say how its session is ended: it will time out", "address", d.addr.String())
		d.session = nil
		return nil
	}
	api, err := d.connect(ctx)
	if err == nil {
		err = api.Service.DeleteSession(d.session.ID)
	}
	// A session that is gone already is as good as ended, and what was done with one that the BMC does not end was done all the same.
	if status := statusOf(err); declined(status) || status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotImplemented {
		if status != http.StatusNotFound && status != http.StatusUnauthorized {
			d.log.Warn("BMC: it does not end its session, which will time out", "address", d.addr.String(), "answer", describe(err))
		}
		err = nil
	}
	if err != nil {
		return redfishFault(err).advise("end the session on the BMC by hand, or let it time out")
	}
	d.session = nil
	return nil
}

func (d *redfishDriver) connect(ctx context.Context) (*gofish.APIClient, error) {
	return gofish.ConnectContext(ctx, gofish.ClientConfig{Endpoint: d.addr.Endpoint(), HTTPClient: d.http, Session: d.session})
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
	d.last = nil
	if err != nil {
		d.last = d.fault(err)
	}
	return d.last
}

// fault is redfishFault, with the pause that the BMC asked for.
func (d *redfishDriver) fault(err error) *Error {
	e := redfishFault(err)
	if errors.Is(e.Kind, ErrBusy) {
		e.pause = time.Duration(d.guard.pause.Load())
	}
	return e
}

func (d *redfishDriver) once(ctx context.Context, exchange func(*gofish.APIClient) error) error {
	api, err := d.connect(ctx)
	if err != nil {
		return err
	}
	return exchange(api)
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
		if said := strings.TrimSpace(info.MessageID + " " + info.Message); said != "" {
			parts = append(parts, said)
		}
	}
	if len(parts) == 1 && strings.TrimSpace(refused.Code+refused.Message) != "" {
		parts = append(parts, strings.TrimSpace(refused.Code+" "+refused.Message))
	}
	return strings.Join(parts, ": ")
}

// notNow are parts of messages by which BMCs say that they would, later: while the machine starts, or while they start themselves.
var notNow = []string{"DuringSystemPOST", "in POST", "during POST", "InvalidOperationForSystemState", "ResourceInUse", "ResourceNotReady", "ServiceTemporarilyUnavailable", "ServiceShuttingDown",
	"ResourceInStandby", "BMCNotReady"}

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
	case status == http.StatusUnauthorized:
		return refused(ErrAuth)
	case strings.Contains(said, "PasswordChangeRequired"):
		return refused(ErrAuth).advise("the BMC wants this account's password changed first: change it on the BMC, and then in the secrets")
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

// unreachable is the error of a request that was not answered, or not with HTTP.
func unreachable(err error) *Error {
	e := &Error{Kind: ErrUnreachable, Cause: err, Remedy: remedies[ErrUnreachable]}
	var away *astray
	if errors.As(err, &away) {
		return e.advise("the BMC redirects to another address: if that one is its own, put it into the inventory (redfish+https where it left plain HTTP)")
	}
	return e
}
