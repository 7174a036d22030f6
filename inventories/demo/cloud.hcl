# The lab: the virtual rack that `make demo` brings up (e2e/racks/demo.json). One blade by default; with -var blades=3 -var ceph=true a region of three
# blades that are hypervisors and one Ceph cluster, in a rack that has them (e2e/racks/site.json).

variable "blades" {
  description = "how many blades of the rack are used"
  type        = number
  default     = 1
}

variable "ipmi" {
  description = "numbers of the blades whose management controller speaks IPMI and not Redfish"
  type        = list(number)
  default     = []
}

variable "via" {
  description = "host on the provisioning network that runs the relay, as user@host; empty: this workstation is on that network"
  type        = string
  default     = ""
}

variable "via_host_key" {
  description = "public host key of that host"
  type        = string
  default     = ""
}

variable "ceph" {
  description = "make the blades a Ceph cluster as well; needs three of them"
  type        = bool
  default     = false
}

variable "retired" {
  description = "numbers of the blades that leave, by nuboctl decommission"
  type        = list(number)
  default     = []
}

cloud "demo" {
  domain  = "demo.nubo.test"
  release = "trixie"
  ntp     = ["10.77.0.3"] # the rack's
}

network "provision" {
  cidr    = "10.77.0.0/24"
  reserve = ["10.77.0.64/26"] # virtual machines: .64 to .127
  planes  = var.ceph ? ["management"] : null

  dhcp {
    mode = "authoritative"
  }

  relay {
    address  = var.via == "" ? "10.77.0.1" : "10.77.0.2"
    via      = var.via == "" ? null : var.via
    host_key = var.via_host_key == "" ? null : var.via_host_key
  }
}

network "management" {
  cidr = "10.77.9.0/24"
}

# What hosts say to each other, out of reach of virtual machines and of everybody else.
network "storage" {
  for_each = var.ceph ? ["storage"] : []
  name     = each.value
  cidr     = local.storage
  vlan     = 101
  planes   = ["storage", "migration"]
}

locals {
  storage = "10.77.1.0/24"
}

profile "hyperconverged" {
  image      = "debian-13"
  butane     = "../../profiles/hyperconverged.bu"
  roles      = ["compute"]
  cores      = 2
  memory_gib = 3

  root_device {
    serial = "root-*"
  }

  osd_device {
    serial = "osd-*"
  }

  bridge "br-ex" {
    uplink  = "eth0"
    network = "provision"

    vlan "stor0" {
      for_each = var.ceph ? ["stor0"] : []
      name     = each.value
      network  = "storage"
    }
  }
}

secrets {
  cleartext = "secrets.dev-cleartext.json"
}

rollout {
  order           = ["lab/r1"]
  max_unavailable = "1"
  bake            = "5s"
  canary          = 1
}
