package inventory

// kind is the type of an attribute's value.
type kind int

const (
	kString kind = iota
	kInt
	kFloat
	kBool
	kStrings
	kSecret
	kAny
)

// String names the kind as the author would.
func (k kind) String() string {
	return [...]string{"string", "whole number", "number", "bool", "list of strings", "secret(\"NAME\")", "any value"}[k]
}

// attrSpec describes one attribute of a block.
type attrSpec struct {
	kind     kind
	required bool
	doc      string
}

// blockSpec describes one block type: the grammar is this tree, and the language reference is printed from it.
type blockSpec struct {
	typ    string
	label  bool // has one label
	single bool // at most one per parent, counted after for_each
	place  bool // a place or node: its name extends the path
	fixed  bool // takes no for_each
	doc    string
	attrs  map[string]attrSpec
	blocks map[string]*blockSpec
}

func opt(k kind, doc string) attrSpec { return attrSpec{kind: k, doc: doc} }
func req(k kind, doc string) attrSpec { return attrSpec{kind: k, required: true, doc: doc} }

func blocks(specs ...*blockSpec) map[string]*blockSpec {
	m := make(map[string]*blockSpec, len(specs))
	for _, s := range specs {
		m[s.typ] = s
	}
	return m
}

// with adds attributes to a copy of a set.
func with(base, more map[string]attrSpec) map[string]attrSpec {
	m := make(map[string]attrSpec, len(base)+len(more))
	for k, v := range base {
		m[k] = v
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// rootSpec is the grammar of a whole inventory.
var rootSpec = &blockSpec{typ: "inventory", blocks: blocks(
	variableSpec, &blockSpec{typ: "locals", fixed: true, doc: "Names for expressions: local.NAME. Any attribute."},
	cloudSpec, networkSpec, profileSpec, siteSpec, vmSpec, rolloutSpec, gateSpec, secretsSpec, stateSpec, movedSpec,
)}

var variableSpec = &blockSpec{typ: "variable", label: true, fixed: true, doc: "An input, var.NAME: from -var NAME=VALUE, else from NUBO_VAR_NAME, else its default.",
	attrs: map[string]attrSpec{
		"type":        opt(kAny, "string, number, bool, list(string), map(number), …; values are converted to it"),
		"default":     opt(kAny, "the value when none is given; without it the variable must be given"),
		"description": opt(kString, "for people"),
	}}

var cloudSpec = &blockSpec{typ: "cloud", label: true, single: true, fixed: true, doc: "The root of the tree. Exactly one.",
	attrs: map[string]attrSpec{
		"domain":  req(kString, "DNS domain of every node"),
		"release": opt(kString, "Debian code name"),
		"ntp":     opt(kStrings, "time servers"),
		"dns":     opt(kStrings, "addresses of name servers"),
	}}

var networkSpec = &blockSpec{typ: "network", label: true, doc: "A layer-2 network with its addressing. Elsewhere: network.NAME.cidr, .gateway, .vlan, .mtu.",
	attrs: map[string]attrSpec{
		"cidr":    req(kString, "IPv4 prefix"),
		"cidr6":   opt(kString, "IPv6 prefix"),
		"vlan":    opt(kInt, "1–4094; absent: untagged"),
		"mtu":     opt(kInt, "bytes; default 1500"),
		"gateway": opt(kString, "address of the router"),
		"dns":     opt(kStrings, "addresses of name servers"),
		"ntp":     opt(kStrings, "time servers"),
		"reserve": opt(kStrings, "addresses or prefixes that are never allotted"),
		"planes":  opt(kStrings, "traffic that hosts let in from it: management, storage, migration, public; see “Planes”"),
	},
	blocks: blocks(
		&blockSpec{typ: "dhcp", single: true, doc: "nuboctl's relay serves boot here.", attrs: map[string]attrSpec{
			"mode": opt(kString, `"authoritative" (for known machines only, the default) or "proxy" (beside another DHCP server)`),
		}},
		&blockSpec{typ: "relay", single: true, doc: "Where the boot service of this network runs.", attrs: map[string]attrSpec{
			"via":       opt(kString, `"user@host[:port]": pushed there over SSH; absent: in-process on this workstation`),
			"host_key":  opt(kString, "public host key of that host, as in known_hosts; needed with via"),
			"address":   req(kString, "the relay's own address on the network"),
			"interface": opt(kString, "the relay's interface on the network"),
		}},
	)}

func deviceSpec(typ, doc string) *blockSpec {
	return &blockSpec{typ: typ, single: true, doc: doc + " All hints that are set must match; text hints may end in \"*\".", attrs: map[string]attrSpec{
		"serial":       opt(kString, "serial number"),
		"wwn":          opt(kString, "world-wide name"),
		"model":        opt(kString, "model"),
		"vendor":       opt(kString, "vendor"),
		"hctl":         opt(kString, "SCSI address H:C:T:L"),
		"min_size_gib": opt(kInt, "least size in GiB"),
		"max_size_gib": opt(kInt, "greatest size in GiB"),
		"rotational":   opt(kBool, "true: spinning disk"),
	}}
}

var profileSpec = &blockSpec{typ: "profile", label: true, doc: "How the nodes that name it look.",
	attrs: map[string]attrSpec{
		"image":          opt(kString, "image name; needed unless adopted"),
		"adopted":        opt(kBool, "true: somebody else laid these hosts down; see “Adopted hosts”"),
		"butane":         opt(kString, "Butane file, relative to the inventory"),
		"roles":          req(kStrings, "compute, ceph-mon, ceph-mgr, ceph-osd, ceph-mds, ceph-rgw, gateway, controller"),
		"slot_gib":       opt(kInt, "size of each of the two system slots in GiB"),
		"luks":           opt(kBool, "encrypt the state partition"),
		"mdraid":         opt(kBool, "mirror the system over two disks"),
		"kernel_args":    opt(kStrings, "further kernel arguments"),
		"cores":          opt(kInt, "processor cores of such a machine"),
		"memory_gib":     opt(kInt, "memory in GiB"),
		"cpu_model":      opt(kString, "processor that virtual machines see, MODEL[,+FEATURE][,-FEATURE] of libvirt: the same wherever they may move; virsh hypervisor-cpu-baseline over the capabilities of a region's hosts proposes one"),
		"cpu_overcommit": opt(kFloat, "vCPU per core; default 1"),
		"osds":           opt(kInt, "OSDs per node"),
		"osd_gib":        opt(kInt, "size of each OSD in GiB"),

		"migration_mib_s": opt(kInt, "what migrations may use of the network card, in MiB/s; default 1000"),
		"numa_cells":      opt(kInt, "NUMA cells over which pinned cores and huge pages are spread evenly"),
		"pinned_cores":    opt(kInt, "cores set apart for pinned virtual machines, on all cells"),
		"huge_pages_gib":  opt(kInt, "memory in huge pages, set apart for pinned virtual machines, on all cells"),
	},
	blocks: blocks(
		deviceSpec("root_device", "The disk of the system."), deviceSpec("osd_device", "The disks of Ceph OSDs."),
		&blockSpec{typ: "bond", label: true, doc: "Cards joined; the uplink of a bridge.", attrs: map[string]attrSpec{
			"mode":    opt(kString, `"active-backup" (default), "balance-slb" or "balance-tcp" (LACP)`),
			"members": req(kStrings, "names of cards"),
		}},
		&blockSpec{typ: "bridge", label: true, doc: "An Open vSwitch bridge.",
			attrs: map[string]attrSpec{
				"uplink":  opt(kString, "a card or bond"),
				"network": opt(kString, "the network that is untagged on the uplink: the card's address moves to the bridge. Default: the card's"),
				"mtu":     opt(kInt, "bytes; default: the greatest of its networks"),
			},
			blocks: blocks(&blockSpec{typ: "vlan", label: true, doc: "An internal port of the bridge with an address of the host.", attrs: map[string]attrSpec{
				"network": req(kString, "a network with a vlan"),
			}})},
	)}

var bmcAttrs = map[string]attrSpec{
	"credentials": opt(kSecret, "secret(\"NAME\"): user and password"),
	"ca":          opt(kString, "PEM of the authority that signed its certificate: file(\"ca.pem\")"),
	"pin":         opt(kString, `"sha256:HEX" of its certificate (DER)`),
	"insecure":    opt(kBool, "true: no verification, loudly"),
	"firmware":    opt(kString, `"uefi" or "bios": asked for whenever the BMC is told what to boot. Default: what the machine is set to, which IPMI takes for BIOS`),
}

var bmcSpec = &blockSpec{typ: "bmc", single: true, fixed: true, doc: "The management controller of a node. Above a node: defaults for all nodes below.",
	attrs: with(bmcAttrs, map[string]attrSpec{"address": opt(kString, "metal3 grammar: redfish+https://HOST[:PORT]/redfish/v1/Systems/ID, ipmi://HOST[:PORT], …")})}

var placeBMCSpec = &blockSpec{typ: "bmc", single: true, fixed: true, doc: "Defaults for the bmc blocks of the nodes below.", attrs: bmcAttrs}

// placeAttrs are shared by site, region, zone, rack and chassis.
var placeAttrs = map[string]attrSpec{
	"profile": opt(kString, "default profile of the nodes below"),
}

var nodeSpec = &blockSpec{typ: "node", label: true, place: true, doc: "A name that a machine stands behind.",
	attrs: with(placeAttrs, map[string]attrSpec{
		"profile":    opt(kString, "profile; default: that of the nearest place above that has one"),
		"roles":      opt(kStrings, "default: the profile's"),
		"slot":       opt(kInt, "bay in the chassis, from 1"),
		"serial":     opt(kString, "the machine's serial number, to be found behind the BMC"),
		"cores":      opt(kInt, "default: the profile's"),
		"memory_gib": opt(kInt, "default: the profile's"),
		"consent":    opt(kStrings, "serial numbers of disks whose data may be destroyed"),
		"state":      opt(kString, `"retired" or "lost": the node leaves, by nuboctl decommission; absent: it is in service`),
	}),
	blocks: blocks(bmcSpec,
		&blockSpec{typ: "nic", label: true, doc: "A network card; the label is its name on the host. The first one boots.", attrs: map[string]attrSpec{
			"mac":     req(kString, "MAC address"),
			"network": opt(kString, "network; default for the first card: the one with dhcp"),
			"address": opt(kString, "static address, with or without prefix length; absent: allotted and kept"),
			"switch":  opt(kString, "system name or chassis ID that the switch on its cable tells by LLDP; compared at each install"),
			"port":    opt(kString, "that switch's port, by its ID or description"),
			"cabling": opt(kString, `a card connected otherwise: "note" (default) or "refuse", which needs a switch that speaks LLDP`),
		}},
		&blockSpec{typ: "port", label: true, doc: "A static address for a vlan port of the profile's bridge.", attrs: map[string]attrSpec{
			"address": req(kString, "address, with or without prefix length"),
		}},
		deviceSpec("root_device", "In place of the profile's."), deviceSpec("osd_device", "In place of the profile's."),
	)}

func placeSpec(typ, doc string, children ...*blockSpec) *blockSpec {
	return &blockSpec{typ: typ, label: true, place: true, doc: doc, attrs: placeAttrs, blocks: blocks(append(children, placeBMCSpec)...)}
}

var (
	chassisSpec = placeSpec("chassis", "A blade enclosure: shared supplies, fans, switches.", nodeSpec)
	rackSpec    = func() *blockSpec {
		s := placeSpec("rack", "A rack.", chassisSpec, nodeSpec)
		s.attrs = with(placeAttrs, map[string]attrSpec{"uplink_mib_s": opt(kInt, "what migrations may use of its uplink, in MiB/s; absent: no limit")})
		return s
	}()
	zoneSpec   = placeSpec("zone", "A power and network failure domain.", rackSpec)
	regionSpec = func() *blockSpec {
		s := placeSpec("region", "One control plane.", zoneSpec, cephSpec, workloadSpec)
		s.attrs = with(placeAttrs, map[string]attrSpec{
			"vm_authority": opt(kString, `who may move VMs: "libvirt" (default) or "nova"`),
			"exposure":     opt(kString, `"internal" or "internet"`),
		})
		return s
	}()
	siteSpec = placeSpec("site", "A building.", regionSpec)
)

var cephSpec = &blockSpec{typ: "ceph", single: true, doc: "The storage cluster of a region.",
	attrs: map[string]attrSpec{
		"fsid":            opt(kString, "UUID of the cluster; absent: made once and kept in the state"),
		"failure_domain":  opt(kString, `"host" (default), "chassis", "rack" or "zone"`),
		"network":         opt(kString, "public network"),
		"cluster_network": opt(kString, "replication network"),
		"encrypted":       opt(kBool, "dm-crypt OSDs"),
		"adopted":         opt(kBool, "true: somebody else made the cluster; see “Adopted hosts”"),
	},
	blocks: blocks(&blockSpec{typ: "s3", single: true, doc: "Where the nodes with role ceph-rgw serve S3, over HTTP.", attrs: map[string]attrSpec{
		"network": opt(kString, "on which they listen; default: the cluster's"),
		"port":    opt(kInt, "default 7480"),
	}}, &blockSpec{typ: "filesystem", label: true, single: true, doc: "CephFS, served by one of the nodes with role ceph-mds while the others stand by. At most one a cluster.", attrs: map[string]attrSpec{
		"metadata": req(kString, `replicated pool of application "cephfs", for names and directories`),
		"data":     req(kStrings, `pools of application "cephfs"; the first holds what is put nowhere else, and is replicated`),
	}}, &blockSpec{typ: "pool", label: true, doc: "Replicated (size, min_size) or erasure-coded (k, m).", attrs: map[string]attrSpec{
		"size":         opt(kInt, "copies; default 3"),
		"min_size":     opt(kInt, "copies or chunks needed for I/O; default size-1, or k+1"),
		"k":            opt(kInt, "data chunks"),
		"m":            opt(kInt, "coding chunks"),
		"pgs":          opt(kInt, "placement groups; absent: the autoscaler's"),
		"application":  opt(kString, `"rbd" (default), "rgw" or "cephfs"`),
		"device_class": opt(kString, `OSDs of one class only: "ssd", "hdd" or "nvme"`),
	}})}

var workloadSpec = &blockSpec{typ: "workload", single: true, doc: "Virtual machines that somebody else owns, in numbers: for synthetic observations.",
	attrs: map[string]attrSpec{
		"vms":   req(kInt, "how many"),
		"vcpus": opt(kInt, "vCPU in all"),
		"seed":  opt(kInt, "of the generator"),
		"apart": opt(kFloat, "the part of them, 0 to 1, that are members of anti-affinity groups of three"),
	},
	blocks: blocks(&blockSpec{typ: "flavor", label: true, doc: "A size of virtual machine.", attrs: map[string]attrSpec{
		"vcpus":       req(kInt, "vCPU"),
		"memory_mib":  req(kInt, "memory in MiB"),
		"weight":      opt(kFloat, "how often; default 1"),
		"dirty_mib_s": opt(kFloat, "memory written per second in MiB"),
		"numa_cells":  opt(kInt, "pinned to so many NUMA cells, with huge pages; absent: it floats"),
	}})}

var vmSpec = &blockSpec{typ: "vm", label: true, doc: "A virtual machine that this inventory declares.",
	attrs: map[string]attrSpec{
		"node":          req(kString, "name or path of the node where it starts"),
		"vcpus":         opt(kInt, "default 1"),
		"memory_mib":    req(kInt, "memory in MiB"),
		"image":         opt(kString, "image whose kernel and ramdisk are booted; without it the first disk is booted, which needs a source"),
		"anti_affinity": opt(kString, "group whose members stay on different nodes"),
		"on_drain":      opt(kString, `when it cannot move: "refuse" (default), "stop_start" or "block_migrate"`),
	},
	blocks: blocks(&blockSpec{typ: "disk", label: true, doc: "A disk in a pool of the region's Ceph cluster. It can grow; making it smaller is refused.", attrs: map[string]attrSpec{
		"pool":     req(kString, "replicated pool of the region, for application rbd"),
		"size_gib": req(kInt, "size in GiB"),
		"source":   opt(kString, "file with raw content that it begins with, relative to the inventory; brought into the pool once, whoever uses it"),
		"sha256":   opt(kString, "SHA-256 of that file, in hexadecimal; needed with source"),
	}}, &blockSpec{typ: "nic", label: true, doc: "A port on a bridge.", attrs: map[string]attrSpec{
		"bridge":  req(kString, "bridge of the node's profile"),
		"vlan":    opt(kInt, "tag"),
		"mac":     opt(kString, "default: made from the names"),
		"address": opt(kString, "address with prefix length, told to the guest"),
	}})}

var rolloutSpec = &blockSpec{typ: "rollout", single: true, fixed: true, doc: "The policy under which the cloud is changed.", attrs: map[string]attrSpec{
	"order":           opt(kStrings, "paths of places, first to last"),
	"max_unavailable": opt(kString, `"2", "10%", "1 rack per zone", …`),
	"survive":         opt(kString, `least grade accepted: "A", "A+C", "A+B", …`),
	"bake":            opt(kString, `time between batches: "5m"`),
	"health_allow":    opt(kStrings, `Ceph's health checks that a gate lets pass, by name: ["POOL_NO_REDUNDANCY"]`),
	"canary":          opt(kInt, "nodes changed first, alone"),
	"max_parallel":    opt(kInt, "nodes changed at once"),
	"reserve":         opt(kString, `part of each host that moved virtual machines leave free: "10%"`),
	"signed_by":       opt(kStrings, "minisign public keys, RW…: apply takes only saved plans that one of them signed"),
	"method":          opt(kString, `how a host is changed: "slot" (default: the idle slot, then a restart), "reinstall" or "packages" (newer packages in place, from snapshot)`),
	"snapshot":        opt(kString, `with method "packages": the snapshot of packages that is installed, as nuboctl image snapshot has named it`),
}}

var gateSpec = &blockSpec{typ: "gate", label: true, doc: "A condition of your own for a rollout to go on after each batch. It asks exactly one of command, http and prometheus.",
	attrs: map[string]attrSpec{
		"scope":    opt(kString, "path of the place whose batches it concerns; default: all"),
		"good":     opt(kInt, "good answers in a row that open it; default 3. It is asked every 15 s"),
		"deadline": opt(kString, `for how long it may give bad answers until the rollout halts: "30m"; default 1h`),
	},
	blocks: blocks(
		&blockSpec{typ: "command", single: true, fixed: true, doc: "Good when it exits with 0.", attrs: map[string]attrSpec{
			"run":  req(kStrings, "program and arguments; no shell"),
			"node": opt(kString, "name or path of the node on which it is run, over SSH; absent: where nuboctl runs"),
		}},
		&blockSpec{typ: "http", single: true, fixed: true, doc: "Good when a page answers as it should.", attrs: map[string]attrSpec{
			"url":     req(kString, "http:// or https://, as this workstation reaches it"),
			"status":  opt(kInt, "the status that is good; default 200"),
			"matches": opt(kString, "regular expression that the body must match"),
		}},
		&blockSpec{typ: "prometheus", single: true, fixed: true, doc: "Good when every value of an instant query lies between min and max. A query that gives nothing is good unless there is a min.", attrs: map[string]attrSpec{
			"url":   req(kString, "of the server: http://HOST:9090"),
			"query": req(kString, "PromQL"),
			"min":   opt(kFloat, "least good value"),
			"max":   opt(kFloat, "greatest good value"),
		}},
	)}

var secretsSpec = &blockSpec{typ: "secrets", single: true, fixed: true, doc: "Where secret(\"NAME\") is looked up. Default: secrets.age, else secrets.dev-cleartext.json.",
	attrs: map[string]attrSpec{
		"age":       opt(kString, "file encrypted with age: JSON {\"NAME\": {\"user\": …, \"password\": …}}"),
		"identity":  opt(kString, "age identity file; default: NUBO_AGE_IDENTITY"),
		"cleartext": opt(kString, "the same JSON in clear text, for development: its name must contain \"dev-cleartext\""),
	}}

var movedSpec = &blockSpec{typ: "moved", fixed: true, doc: "A node has a new path; machine and data stay.", attrs: map[string]attrSpec{
	"from": req(kString, "path that no longer exists"),
	"to":   req(kString, "path that exists"),
}}
