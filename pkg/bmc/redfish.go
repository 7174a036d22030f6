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
	"sync/atomic"
	"time"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
	"github.com/stmcginnis/gofish"
)

// redfishDriver is our driver for bmclib's registry. gofish keeps the context it was connected
// with, so each operation connects anew, with the session that is there, and the
// caller's deadline bounds each request. Calls come one at a time.
type redfishDriver struct {
	target  Target
	addr    Address
	guard   *guard
	log     *slog.Logger
	session *gofish.Session
	// basic is true where the service has no sessions.
	basic bool
	// stale is true when the BMC said at the login that the password is to be changed.
	stale bool
	// system is the path of the ComputerSystem, once it is found.
	system string
	last   error
	// said is what the answer to the last write says, beside that it was taken.
	said atomic.Pointer[string]
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
	return &redfishDriver{target: t, addr: a, guard: newGuard(a, config), log: t.logger(), system: a.System}, nil
}

// Name tells bmclib who we are.
func (d *redfishDriver) Name() string { return string(Redfish) }

func (d *redfishDriver) lastFault() error { return d.last }

// lastWords is what the BMC said of the last write, to stand at the end of an error; empty when it said nothing.
func (d *redfishDriver) lastWords() string {
	if said := d.said.Load(); said != nil && *said != "" {
		return ", and the BMC said: " + *said
	}
	return ""
}

// reverted is the error of a write that was taken and does not read back.
func (d *redfishDriver) reverted(format string, args ...any) *Error {
	e := fault(ErrReverted, format, args...)
	if words := d.lastWords(); words != "" {
		e.Cause = fmt.Errorf("%w%s", e.Cause, words)
	}
	return e
}

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
	api, err := d.connect(ctx)
	if err != nil {
		return d.fault(err)
	}
	var root rootView
	_, err = get(api, rootPath, &root)
	if statusOf(err) == http.StatusUnauthorized {
		return d.withoutSession("it shows not even its root without a password")
	}
	if err != nil {
		return d.noService(err)
	}
	if root.sessions() == "" {
		return d.withoutSession("it has no sessions")
	}
	response, err := api.Post(root.sessions(), map[string]string{"UserName": d.target.Credentials.User, "Password": d.target.Credentials.Password})
	err = answerTo(http.MethodPost, root.sessions(), err)
	switch status := statusOf(err); {
	case err == nil:
		return d.begin(root.sessions(), response)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented, wantsBasic(err):
		return d.withoutSession("it makes no sessions: " + describe(err))
	case status != 0 && status != http.StatusUnauthorized && sessionsExhausted(err):
		return d.fault(fault(ErrBusy, "no session is free: %s", describe(err)).
			advise("end other sessions on the BMC, which keeps few, or wait until they time out; resetting the BMC ends them all"))
	}
	return d.fault(err)
}

// withoutSession lets the password go with each request, over the connection that has proven its certificate.
func (d *redfishDriver) withoutSession(why string) error {
	d.log.Warn("BMC: the password goes with each request", "address", d.addr.String(), "why", clean(errors.New(why), d.target.Credentials))
	d.basic = true
	d.guard.login.Store(&d.target.Credentials)
	return nil
}

// begin keeps the session that a login made. Where it is to be ended is told by a header, or, by some, only by the body.
func (d *redfishDriver) begin(collection string, response *http.Response) error {
	defer response.Body.Close()
	var made struct {
		Path link     `json:"@odata.id"`
		ID   word     `json:"Id"`
		Said messages `json:"@Message.ExtendedInfo"`
	}
	if raw, err := io.ReadAll(response.Body); err == nil {
		_ = json.Unmarshal(raw, &made) // a login may be answered without a body
	}
	if d.stale = strings.Contains(made.Said.String(), passwordChange); d.stale {
		d.log.Warn("BMC: it wants this account's password changed", "address", d.addr.String())
	}
	path := placeOf(response)
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
func (d *redfishDriver) noService(err error) *Error {
	var other *nonsense
	if statusOf(err) == http.StatusNotFound || errors.As(err, &other) && !other.cut {
		return fault(ErrUnsupported, "%s", describe(err)).
			advise("whoever answers there does not speak Redfish: check address and port; older BMCs need newer firmware or a licence for it, or speak IPMI (ipmi://HOST)")
	}
	return d.fault(err)
}

// wantsBasic recognises refusals of BMCs that have sessions switched off: by the book, and in words.
func wantsBasic(err error) bool {
	said := describe(err)
	return strings.Contains(said, "ServiceDisabled") || statusOf(err) == http.StatusUnauthorized && strings.Contains(strings.ToLower(said), "basic auth")
}

// sessionsExhausted recognises refusals of BMCs that have no session free: with 503 by the book, with 400 and others in fact.
func sessionsExhausted(err error) bool {
	text := strings.ToLower(describe(err))
	if strings.Contains(text, "locked") || strings.Contains(text, "unauthorized") || strings.Contains(text, "attempt") { // of an account, and no session
		return false
	}
	return strings.Contains(text, "limit") || strings.Contains(text, "maximum") || strings.Contains(text, "too many")
}

// Close ends the session.
func (d *redfishDriver) Close(ctx context.Context) error {
	defer d.guard.next.CloseIdleConnections()
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
		_, err = api.Delete(d.session.ID)
		err = answerTo("DELETE", d.session.ID, err)
	}
	// A session that is gone already is as good as ended, and what was done with one that the BMC does not end was done all the same.
	if status := statusOf(err); declined(status) || status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotImplemented {
		if status != http.StatusNotFound && status != http.StatusUnauthorized {
			d.log.Warn("BMC: it does not end its session, which will time out", "address", d.addr.String(), "answer", clean(errors.New(describe(err)), d.target.Credentials, d.secret()))
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
	client := &http.Client{Transport: &rootless{next: d.guard}}
	return gofish.ConnectContext(ctx, gofish.ClientConfig{Endpoint: d.addr.Endpoint(), HTTPClient: client, Session: d.session})
}

// secret is what beside the password must not be shown.
func (d *redfishDriver) secret() string {
	const shortest = 8 // what is shorter is in every sentence
	if token := d.guard.token.Load(); token != nil && len(*token) >= shortest {
		return *token
	}
	return ""
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
	if d.stale && statusOf(err) == http.StatusForbidden {
		e.Remedy = changeRemedy
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
