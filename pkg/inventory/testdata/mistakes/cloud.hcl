cloud "shop" {
  domain  = "shop.test"
  relaese = "trixie"
}

variable "blades" {
  type    = number
  default = "three"
}

variable "unset" {}

locals {
  a = local.b
  b = local.a
}

network "provision" {
  cidr    = "10.1.0.0/24"
  gateway = "10.2.0.1"
  dhcp { mode = "authorative" }
}

network "storage" {
  cidr = "10.1.0.128/25"
  vlan = 5000
}

network "crooked" {
  cidr = "10.3.0.7/24"
}

profile "hv" {
  roles  = ["compute", "ceph-ods", "ceph-mon", "ceph-osd"]
  image  = "debian-13"
  butane = "profiles/missing.bu"
  root_device { serial = "root-*" }
  root_device { serial = "again-*" }
  osd_device { serial = "osd-*" }
  bridge "br-ex" { uplink = "bond7" }
  luks = "perhaps"
}

site "s" {
  region "r" {
    ceph {
      failure_domain = "hosts"
      pool "vms" {
        size     = 3
        min_size = 4
      }
      pool "objects" {
        k = 4
        m = 2
      }
    }
    zone "z" {
      rack "a" {
        node "n1" {
          profile = "hv"
          bmc {
            address     = "redfish+https://10.1.9.1/redfish/v1/Systems/1"
            credentials = "hunter2"
            pin         = "sha256:123"
          }
          nic "eth0" {
            mac     = "52:54:00:00:00:01"
            network = "provision"
            address = "10.9.0.5"
          }
        }
        node "n2" {
          profile = "hvv"
          serial  = "CZ1"
          bmc {
            address     = "carrier-pigeon://10.1.9.2/"
            credentials = secret("bmc")
          }
          nic "eth0" { mac = "52:54:00:00:00:01" }
        }
        node "n3" {
          profile = "hv"
          serial  = each.value
          bmc {
            address     = "redfish+https://10.1.9.1/redfish/v1/Systems/1"
            credentials = secret("bmc")
          }
          nic "eth0" {
            mac     = "not-a-mac"
            port    = "Ethernet1"
            cabling = "maybe"
          }
        }
        node "n1" {
          profile = "hv"
        }
        node "Node_4" {
          profile = "hv"
          cores   = var.coers
          serial  = "CZ1"
          bmc {
            address     = "redfish+http://10.1.9.4/redfish/v1/Systems/1"
            credentials = secret("bmc")
          }
          nic "eth0" { mac = "52:54:00:00:00:04" }
          disks = 2
        }
      }
      rak "b" {}
    }
  }
}

vm "web" {
  node       = "n9"
  memory_mib = "lots"
  image      = "guest"
}

rollout {
  order           = ["s/r/y"]
  max_unavailable = "some"
  survive         = "A+D"
  bake            = "soon"
  signed_by       = ["RWnonsense", "RWQny4/vmUnOzDHCxC4vPGsypP/zsZv9FtoQl03kDSkd3lws27/lrJfQ", "RWQny4/vmUnOzDHCxC4vPGsypP/zsZv9FtoQl03kDSkd3lws27/lrJfQ"]
}
