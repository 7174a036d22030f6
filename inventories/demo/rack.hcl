site "lab" {
  region "r1" {
    ceph {
      for_each       = var.ceph ? [true] : []
      network        = "storage"
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
          state    = contains(var.retired, each.value) ? "retired" : null
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

          port "stor0" {
            for_each = var.ceph ? ["stor0"] : []
            name     = each.value
            address  = cidrhost(local.storage, 10 + node.value)
          }
        }
      }
    }
  }
}

# A small machine on the bridge, which answers a ping. With Ceph it has a disk there, and a neighbour on the second blade.
vm "hello" {
  node       = "blade-01"
  image      = "guest"
  vcpus      = 1
  memory_mib = 256
  on_drain   = "stop_start"

  disk "data" {
    for_each = var.ceph ? ["data"] : []
    name     = each.value
    pool     = "vms"
    size_gib = 1
  }

  nic "eth0" {
    bridge  = "br-ex"
    address = "10.77.0.100/24"
  }
}

vm "world" {
  for_each   = var.ceph ? ["world"] : []
  name       = each.value
  node       = "blade-02"
  image      = "guest"
  vcpus      = 1
  memory_mib = 256

  disk "data" {
    pool     = "vms"
    size_gib = 1
  }

  nic "eth0" {
    bridge  = "br-ex"
    address = "10.77.0.101/24"
  }
}
