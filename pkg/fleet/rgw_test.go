package fleet_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// TestGateways gives a real cluster object gateways on two hosts of their own by their ops, has a client of S3 put and get an object through both, and stops,
// starts and breaks them.
func TestGateways(t *testing.T) {
	t.Parallel()
	h := newThreeHosts(t, "gate-01", "gate-02")
	d := h.desired
	d.Networks = []model.Network{{Name: "storage", CIDR: netip.MustParsePrefix("198.51.100.0/24")}}
	c := *d.Regions[0].Ceph
	c.Network, c.Pools = "storage", []model.Pool{{Name: "vms", Size: 3, MinSize: 2, PGs: 8, Application: "rbd"}, {Name: "objects", Size: 3, MinSize: 2, PGs: 8, Application: "rgw"}}
	d.Regions = []model.Region{{Path: "lab/r1", Ceph: &c}}
	d.Nodes = slices.Concat(h.nodes, h.outside)
	for i := range d.Nodes {
		d.Nodes[i].NICs = []model.NIC{{Name: "eth9", Network: "storage", Address: netip.MustParsePrefix(hosttest.SiteAddr(i) + "/24")}}
	}
	for i, box := range h.gates {
		name := h.outside[i].Name
		// As Debian's unit starts it, but for the account; log and socket stay in the host's directory.
		box.Service("ceph-radosgw@rgw."+name+".service", "radosgw", "-f", "--cluster", "ceph", "--name", "client.rgw."+name,
			"--log-file", filepath.Join(box.Dir, "rgw.log"), "--admin-socket", filepath.Join(box.Dir, "rgw.asok"))
	}
	clusters := &fleet.Clusters{Desired: d, Links: h.links, Epoch: 5, Log: slog.New(slog.DiscardHandler)}
	storage := &fleet.Storage{Desired: d, Links: h.links, Epoch: 5, Log: slog.New(slog.DiscardHandler), Owner: "ann"}
	driver := ops.New(ops.World{Desired: d, Clusters: clusters, Storage: storage})
	first, second := d.Nodes[3], d.Nodes[4]
	for _, n := range []model.Node{first, second} {
		sub := plan.NodeSubject(n.Path)
		h.do(driver, plan.Op{ID: plan.ID(plan.CephRGW, sub), Kind: plan.CephRGW, Target: sub,
			Pre: []plan.Fact{{Subject: plan.CephSubject("lab/r1"), Attr: plan.AttrCluster, Value: "there"}}, Post: []plan.Fact{{Subject: sub, Attr: plan.AttrRGW, Value: plan.Up}}})
	}
	region := plan.CephSubject("lab/r1")
	h.do(driver, plan.Op{ID: plan.ID(plan.CephSettle, region), Kind: plan.CephSettle, Target: region, Pre: []plan.Fact{{Subject: region, Attr: plan.AttrCluster, Value: "there"}},
		Post: []plan.Fact{{Subject: region, Attr: plan.AttrSettings, Value: string(h.settled(clusters))}}})

	h.boxes[0].Must(h.T, "radosgw-admin", "user", "create", "--uid=ann", "--display-name=Ann", "--access-key=ANN", "--secret-key=verysecret")
	h.s3(0, "PUT", "/photos", "")
	h.s3(0, "PUT", "/photos/cat.txt", "purr")
	if got := h.s3(1, "GET", "/photos/cat.txt", ""); got != "purr" {
		h.Errorf("through the other gateway the object is %q", got)
	}
	if stored := h.boxes[0].Must(h.T, "rados", "-p", "objects", "ls"); !strings.Contains(stored, "cat.txt") {
		h.Errorf("the object is not in the declared pool: %q", stored)
	}
	// A gateway may not do what the administrator may.
	box, entity := h.gates[1], "client.rgw."+second.Name
	own := []string{"ceph", "--connect-timeout", "120", "--name", entity, "--keyring", "/var/lib/ceph/radosgw/ceph-rgw." + second.Name + "/keyring"}
	box.Must(h.T, append(own, "osd", "stat")...)
	for _, forbidden := range [][]string{{"osd", "pool", "create", "mine"}, {"auth", "ls"}, {"osd", "set", "noout"}, {"config-key", "set", "a", "b"}} {
		box.Must(h.T, "bash", "-c", "! "+strings.Join(slices.Concat(own, forbidden), " ")+" 2>/dev/null")
	}

	// A drain stops the gateway with the host's other daemons, the other one serves, and a start brings it back.
	h.sees(storage, first, "the gateway is in service", daemons(plan.Up))
	if err := storage.SetDaemons(h.Context(), first, false); err != nil {
		h.Fatal(err)
	}
	h.sees(storage, first, "all daemons have stopped", daemons(plan.Stopped))
	if got := h.s3(1, "GET", "/photos/cat.txt", ""); got != "purr" {
		h.Errorf("with one gateway stopped the object is %q", got)
	}
	if err := storage.SetDaemons(h.Context(), first, true); err != nil {
		h.Fatal(err)
	}
	h.sees(storage, first, "all daemons are back", daemons(plan.Up))
	if got := h.s3(0, "GET", "/photos/cat.txt", ""); got != "purr" {
		h.Errorf("after its restart the gateway says %q", got)
	}

	// What is wrong is seen, and put right.
	h.ceph("auth", "caps", entity, "mon", "allow *", "osd", "allow *")
	box.Must(h.T, "systemctl", "stop", "ceph-radosgw@rgw."+second.Name+".service")
	o := h.seen(clusters)
	if len(o.Drift) != 1 || !strings.Contains(o.Drift[0], entity+" has other rights") {
		h.Errorf("of a key with too many rights is told %q", o.Drift)
	}
	if slices.ContainsFunc(o.RGWs, func(d model.ObservedDaemon) bool { return d.Node == second.Path && d.Up }) {
		h.Errorf("a gateway that was stopped counts as serving: %+v", o.RGWs)
	}
	if err := clusters.Ensure(h.Context(), second, model.RoleCephRGW); err != nil {
		h.Fatal(err)
	}
	remotetest.Within(h.Context(), h.T, cephLimit, "both gateways serve, with their own rights", func() bool {
		o = h.seen(clusters)
		return len(o.Drift) == 0 && o.Settings != "" && len(o.RGWs) == 2 && !slices.ContainsFunc(o.RGWs, func(d model.ObservedDaemon) bool { return !d.Up })
	})
	if slices.ContainsFunc(o.Foreign, func(s string) bool { return strings.Contains(s, "rgw") }) {
		h.Errorf("what belongs to the gateways is foreign: %q", o.Foreign)
	}
}

// settled is the digest of what is declared, once it is so.
func (h *threeHosts) settled(c *fleet.Clusters) model.Digest {
	h.Helper()
	if err := c.Settle(h.Context(), "lab/r1"); err != nil {
		h.Fatal(err)
	}
	return h.seen(c).Settings
}

func (h *threeHosts) seen(c *fleet.Clusters) model.ObservedCeph {
	h.Helper()
	o, err := c.Observe(h.Context(), "lab/r1")
	if err != nil {
		h.Fatal(err)
	}
	return o
}

// s3 asks the gateway of a host in ann's name, and returns what it answers. One that has just been started may count by its former instance for a moment, so a port
// that is still closed is asked again, in silence: what curl says of it would stand before the answer.
func (h *threeHosts) s3(gate int, method, path, body string) string {
	h.Helper()
	host := hosttest.SiteAddr(len(h.boxes)+gate) + ":7480"
	argv := []string{"curl", "--silent", "--fail-with-body", "--max-time", "120", "--retry", "120", "--retry-delay", "1", "--retry-connrefused", "-X", method, "http://" + host + path}
	for _, header := range signed(method, host, path, body, "ANN", "verysecret", time.Now().UTC()) {
		argv = append(argv, "-H", header)
	}
	if method == "PUT" {
		argv = append(argv, "--data-binary", body)
	}
	return h.boxes[2].Must(h.T, argv...)
}

// signed are the headers of a request to S3 (AWS Signature Version 4, "Create a signed AWS API request"). Debian 12's curl signs less than Ceph asks for.
func signed(method, host, path, body, user, secret string, now time.Time) []string {
	stamp, sum := now.Format("20060102T150405Z"), fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	const names = "host;x-amz-content-sha256;x-amz-date"
	request := strings.Join([]string{method, path, "", "host:" + host, "x-amz-content-sha256:" + sum, "x-amz-date:" + stamp, "", names, sum}, "\n")
	scope := now.Format("20060102") + "/default/s3/aws4_request"
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	sign := mac(key, fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", stamp, scope, sha256.Sum256([]byte(request))))
	return []string{"x-amz-content-sha256: " + sum, "x-amz-date: " + stamp,
		fmt.Sprintf("Authorization: AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%x", user, scope, names, sign)}
}
