site "lab" {
  region "r1" {
    ceph {
      for_each       = var.ceph ? [true] : []
      failure_domain = "host"

      pool "vms" {
        size     = 3
        min_size = 2
      }
    }

    zone "az1" {
      rack "a" {
        profile = "hyperconverged"

        bmc {
          credentials = secret("bmc")
          ca          = file("bmc-ca.pem")
        }

        node "blade" {
          for_each = range(1, var.blades + 1)
          name     = format("blade-%02d", each.value)
          serial   = format("NUBO-%02d", each.value)
          roles    = var.ceph ? concat(["compute", "ceph-mon", "ceph-osd"], each.value <= 2 ? ["ceph-mgr"] : []) : ["compute"]

          bmc {
            address = (contains(var.ipmi, each.value)
              ? format("ipmi://10.77.9.%d:623?ciphersuite=3", 10 + each.value)
            : format("redfish+https://10.77.9.%d:8443/redfish/v1/Systems/1", 10 + each.value))
          }

          nic "eth0" {
            mac     = format("52:54:00:77:00:%02x", each.value)
            network = "provision"
            address = cidrhost(network.provision.cidr, 10 + each.value)
          }
        }
      }
    }
  }
}

# A small machine on the bridge, which answers a ping.
vm "hello" {
  node       = "blade-01"
  image      = "guest"
  vcpus      = 1
  memory_mib = 256

  nic "eth0" {
    bridge  = "br-ex"
    address = "10.77.0.100/24"
  }
}
