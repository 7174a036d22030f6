package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// The defaults of a Config.
const (
	// DefaultTTL is long enough for etcd to be gone for a minute while a run goes on, and is what others wait when a holder's machine dies.
	DefaultTTL = 2 * time.Minute
	// DefaultAskTTL is many times what a holder takes to see an ask.
	DefaultAskTTL = 30 * time.Second
	// MinTTL is the least that leaves time to be heard again.
	MinTTL = 3 * time.Second

	defaultPrefix = "/nubo"
	// tryTime bounds one attempt of one call: a member that hangs must not use up the time for the others.
	tryTime = 3 * time.Second
	// askTime bounds a call that no lease bounds, with all its attempts.
	askTime = 30 * time.Second
	// probeAfter and probeTime end connections to members that hang; servers forbid probing more often than every 5 s.
	probeAfter = 6 * time.Second
	probeTime  = 2 * time.Second
)

// Config says where the store is and how this process proves itself.
type Config struct {
	Endpoints []string // URLs: https://HOST:PORT
	// Prefix is put before every key, so that clouds can share an etcd; "/nubo".
	Prefix string
	// TLS is needed for https endpoints; see TLS.
	TLS *tls.Config
	// User and Password log in, where authentication is on.
	User, Password string
	// TTL is how long a lease outlives its holder's last sign of life; DefaultTTL.
	TTL time.Duration
	// AskTTL is how long an ask waits to be taken; DefaultAskTTL.
	AskTTL time.Duration

	// boottime tells the time since the machine's start, sleep included; tests put their own in its place.
	boottime func() time.Duration
}

// TLS makes the TLS configuration of a Config from PEM: the authority that signed the servers' certificates, and, where the servers ask for
// one, this client's certificate with its key. Errors carry nothing of the key.
func TLS(ca, cert, key []byte) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("etcd: the authority's certificate (ca) is not PEM")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	if len(cert) == 0 && len(key) == 0 {
		return c, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New("etcd: the client's certificate and key are not PEM, or do not belong together")
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	c.Prefix = strings.TrimRight(c.Prefix, "/") + "/"
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.AskTTL == 0 {
		c.AskTTL = DefaultAskTTL
	}
	if c.TTL < MinTTL {
		errs = append(errs, fmt.Errorf("etcd: a lease of %s ends before it can be renewed; at least %s", c.TTL, MinTTL))
	}
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("etcd: no endpoints"))
	}
	for _, e := range c.Endpoints {
		if strings.HasPrefix(e, "https://") && c.TLS == nil {
			errs = append(errs, fmt.Errorf("etcd: %s needs the certificate of its authority (ca)", e))
		}
	}
	if c.boottime == nil {
		c.boottime = boottime
	}
	return c, errors.Join(errs...)
}

// Open makes a handle on the store. It logs in where there is a user, again and again while members elect or are busy, as every question does; otherwise it
// connects when it is first used. Close it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, leases: map[*lease]struct{}{}}
	asking, cancel := bounded(ctx)
	defer cancel()
	within := tryTime / 2
	err = s.call(asking, "connect", func(context.Context) (err error) {
		within *= 2 // each time it connects anew, for which a busy machine may need longer
		s.client, err = clientv3.New(clientv3.Config{
			Context: context.WithoutCancel(ctx), Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.User, Password: cfg.Password,
			DialTimeout: within, DialKeepAliveTime: probeAfter, DialKeepAliveTimeout: probeTime, PermitWithoutStream: true,
			// The client's own retrying knows nothing of what may be done twice.
			MaxUnaryRetries: 1, Logger: zap.NewNop(),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
