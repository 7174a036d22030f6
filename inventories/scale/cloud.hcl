# A fleet of any size, for tests and benchmarks: -var nodes=N, 24 to 10,000 blades with 50 virtual machines on each.
#
# Two sites of two regions of two zones. Blades are dealt out to the eight zones in turn; ten make a chassis, four chassis a rack. Every blade
# carries virtual machines and OSDs; five of each region are monitors.

variable "nodes" {
  description = "how many blades"
  type        = number
  default     = 1000
}

variable "vms_per_node" {
  description = "virtual machines on each blade"
  type        = number
  default     = 50
}

cloud "scale" {
  domain  = "scale.example"
  release = "trixie"
}

locals {
  # Blades in each zone, and from there the shape of everything.
  blades  = [for z in range(8) : floor((var.nodes + 7 - z) / 8)]
  racks   = [for n in local.blades : ceil(n / 40)]
  chassis = [for n in local.blades : ceil(n / 10)]
}

network "provision" {
  for_each = range(8)
  cidr     = cidrsubnet("10.16.0.0/12", 8, each.value)
  gateway  = cidrhost(cidrsubnet("10.16.0.0/12", 8, each.value), 1)

  dhcp {
    mode = "authoritative"
  }
}

network "management" {
  cidr = "10.128.0.0/12"
}

network "storage" {
  for_each = range(4)
  cidr     = cidrsubnet("10.64.0.0/12", 4, each.value)
  vlan     = 101 + each.value
  mtu      = 9000
}

profile "blade" {
  for_each       = range(4)
  image          = "debian-13"
  butane         = "../../profiles/hyperconverged.bu"
  roles          = ["compute", "ceph-osd"]
  cores          = 72
  memory_gib     = 1024
  cpu_model      = "Icelake-Server-v4"
  cpu_overcommit = 4
  osds           = 4
  osd_gib        = 3576

  root_device {
    rotational   = false
    max_size_gib = 1000
  }

  osd_device {
    rotational   = false
    min_size_gib = 3000
  }

  bond "bond0" {
    members = ["lan0", "lan1"]
  }

  bridge "br-ex" {
    uplink = "bond0"

    vlan "stor0" {
      network = "storage-${each.value}"
    }
  }
}

rollout {
  max_unavailable = "1 rack per zone"
  survive         = "A+C"
  bake            = "5m"
  canary          = 1
}
