# The sketch of the design, word for word but for the pin.
cloud "demo" {
  domain  = "demo.nubo.test"
  release = "trixie"
}

network "provision" {
  cidr = "10.77.0.0/24"
  dhcp { mode = "authoritative" }
}
network "storage" {
  cidr = "10.77.1.0/24"
  vlan = 101
  mtu  = 9000
}

profile "hyperconverged" {
  image  = "debian-13"
  butane = "profiles/hyperconverged.bu"
  roles  = ["compute", "ceph-mon", "ceph-mgr", "ceph-osd"]
  root_device { min_size_gib = 10 }
  osd_device  { serial = "osd-*" }
  bond "bond0" {
    mode    = "active-backup"
    members = ["eth0", "eth1"]
  }
  bridge "br-ex" { uplink = "bond0" }
}

site "lab" {
  region "r1" {
    ceph {
      failure_domain = "host"
      pool "vms" {
        size     = 3
        min_size = 2
      }
    }
    zone "az1" {
      rack "a" {
        node "blade" {
          for_each = range(1, 4)
          name     = format("blade-%02d", each.value)
          profile  = "hyperconverged"
          bmc {
            address     = format("redfish+https://bmc-%02d.lab:8443/redfish/v1/Systems/1", each.value)
            credentials = secret("bmc")
            pin         = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
          }
          nic "eth0" { mac = format("52:54:00:77:00:%02x", each.value) }
          nic "eth1" { mac = format("52:54:00:77:01:%02x", each.value) }
        }
      }
    }
  }
}

rollout {
  order           = ["lab/r1"]
  max_unavailable = "1 rack per zone"
  survive         = "A+C"
  bake            = "5m"
  canary          = 1
}
